#include <cmath>

#include "engine/base/fail.h"
#include "engine/graph/args.h"
#include "engine/ops/move.h"

namespace plica {
namespace {

/// full, zeros, ones and their kin: one number everywhere.
class Fill : public MoveOp {
 public:
  /// Without `sizes` the shape is that of input 0.
  Fill(std::optional<std::vector<Dim>> sizes, double value)
      : sizes_(std::move(sizes)), value_(value) {}
  std::string_view name() const override { return "fill"; }
  std::string describe() const override { return concat(value_); }

 protected:
  Shape output_shape(std::span<const Shape> inputs, const Bindings& bindings) const override {
    if (!sizes_) return inputs[0];
    Shape shape;
    for (const Dim& size : *sizes_) shape.push_back(size.evaluate(bindings));
    element_count(shape);
    return shape;
  }
  std::vector<CopyPart> parts(std::span<const TensorDesc>, const TensorDesc& output,
                              const Bindings&) const override {
    return {{-1, {output.shape, Strides(output.shape.size(), 0)}, 0, output, 0}};
  }
  double fill() const override { return value_; }
  bool reads(const Shape&) const override { return false; }

 private:
  std::optional<std::vector<Dim>> sizes_;
  double value_;
};

/// arange: start, start + step, ... before end.
class Arange : public Op {
 public:
  Arange(double start, double end, double step) : start_(start), step_(step) {
    const bool sound = std::isfinite(start) && std::isfinite(end) && std::isfinite(step) &&
                       step != 0 && (end - start) / step >= 0;
    require(sound, ErrorCode::kInvalid, "arange: from ", start, " to ", end, " in steps of ", step);
    const double count = std::ceil((end - start) / step);
    require(count < 9e15, ErrorCode::kInvalid, "arange: ", count, " elements");
    count_ = static_cast<int64_t>(count);
  }
  std::string_view name() const override { return "arange"; }
  std::string describe() const override {
    return concat(count_, " from ", start_, " in steps of ", step_);
  }
  std::vector<Shape> infer_shapes(std::span<const Shape>, const Bindings&) const override {
    return {{count_}};
  }
  void evaluate(std::span<const Array* const>, std::span<Array> outputs,
                const Bindings&) const override {
    for (int64_t i = 0; i < count_; ++i) outputs[0].data[static_cast<size_t>(i)] = at(i);
  }
  void plan(StepBuilder& builder) const override {
    builder.set_output(0, row_major({count_}));
    builder.emit(std::make_unique<Count>(*this), "arange");
  }
  int64_t flops(std::span<const Shape>, std::span<const Shape>) const override { return 0; }

 private:
  class Count : public Kernel {
   public:
    explicit Count(const Arange& op) : start_(op.start_), step_(op.step_), count_(op.count_) {}
    void run(const KernelArgs& args, Team&) const noexcept override {
      for (int64_t i = 0; i < count_; ++i) {
        args.out[0][i] = static_cast<float>(start_ + static_cast<double>(i) * step_);
      }
    }

   private:
    double start_, step_;
    int64_t count_;
  };
  double at(int64_t i) const { return start_ + static_cast<double>(i) * step_; }

  double start_, step_;
  int64_t count_;
};

/// Integers and bools are held as float32 numbers, like everything else.
void ignore_type(ArgReader& reader) {
  for (const char* argument : {"dtype", "layout", "device", "pin_memory", "memory_format"}) {
    reader.ignore(argument);
  }
}

/// full: `value` is given, or is the argument fill_value.
std::unique_ptr<Op> make_full(ArgReader& reader, std::optional<double> value) {
  std::vector<Dim> sizes = reader.dims("size");
  if (!value) value = reader.number("fill_value");
  ignore_type(reader);
  return std::make_unique<Fill>(std::move(sizes), *value);
}

std::unique_ptr<Op> make_like(ArgReader& reader, std::optional<double> value) {
  reader.tensor("self");
  if (!value) value = reader.number("fill_value");
  ignore_type(reader);
  return std::make_unique<Fill>(std::nullopt, *value);
}

std::unique_ptr<Op> make_new(ArgReader& reader, std::optional<double> value) {
  reader.tensor("self");
  return make_full(reader, value);
}

std::unique_ptr<Op> make_scalar(ArgReader& reader) {
  const double value = reader.number("s");
  ignore_type(reader);
  return std::make_unique<Fill>(std::vector<Dim>{}, value);
}

std::unique_ptr<Op> make_arange(ArgReader& reader) {
  const double start = reader.number("start", 0.0);
  const double end = reader.number("end");
  const double step = reader.number("step", 1.0);
  ignore_type(reader);
  return std::make_unique<Arange>(start, end, step);
}

}  // namespace

void register_fill(OpRegistry& registry);
void register_fill(OpRegistry& registry) {
  registry.add({"aten.full.default"}, [](ArgReader& r) { return make_full(r, {}); });
  registry.add({"aten.zeros.default"}, [](ArgReader& r) { return make_full(r, 0); });
  registry.add({"aten.ones.default"}, [](ArgReader& r) { return make_full(r, 1); });
  registry.add({"aten.full_like.default"}, [](ArgReader& r) { return make_like(r, {}); });
  registry.add({"aten.zeros_like.default"}, [](ArgReader& r) { return make_like(r, 0); });
  registry.add({"aten.ones_like.default"}, [](ArgReader& r) { return make_like(r, 1); });
  registry.add({"aten.new_full.default"}, [](ArgReader& r) { return make_new(r, {}); });
  registry.add({"aten.new_zeros.default"}, [](ArgReader& r) { return make_new(r, 0); });
  registry.add({"aten.new_ones.default"}, [](ArgReader& r) { return make_new(r, 1); });
  // What is in an empty tensor does not matter.
  registry.add({"aten.empty.memory_format"}, [](ArgReader& r) { return make_full(r, 0); });
  registry.add({"aten.empty_like.default"}, [](ArgReader& r) { return make_like(r, 0); });
  registry.add({"aten.new_empty.default"}, [](ArgReader& r) { return make_new(r, 0); });
  registry.add({"aten.scalar_tensor.default"}, make_scalar);
  registry.add({"aten.arange.default", "aten.arange.start", "aten.arange.start_step"}, make_arange);
}

}  // namespace plica
