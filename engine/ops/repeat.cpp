#include "engine/base/checked.h"
#include "engine/graph/args.h"
#include "engine/ops/move.h"

namespace plica {
namespace {

/// repeat, tile: the whole tensor several times along its axes, and along new leading ones.
class Repeat : public MoveOp {
 public:
  /// `tile`: fewer repeats than axes stand for ones in front.
  Repeat(ArgReader& reader, bool tile) : tile_(tile) {
    reader.tensor("self");
    repeats_ = reader.dims(tile ? "dims" : "repeats");
  }
  std::string_view name() const override { return "repeat"; }

 protected:
  Shape output_shape(std::span<const Shape> inputs, const Bindings& bindings) const override {
    const Shape counts = repeats(inputs[0].size(), bindings);
    Shape result = counts;
    const size_t fresh = counts.size() - inputs[0].size();
    for (size_t i = 0; i < inputs[0].size(); ++i) {
      result[fresh + i] = checked_mul(counts[fresh + i], inputs[0][i]);
    }
    return result;
  }

  std::vector<CopyPart> parts(std::span<const TensorDesc> inputs, const TensorDesc& output,
                              const Bindings& bindings) const override {
    // Every axis becomes two: which repetition, and where in it.
    const TensorDesc& in = inputs[0];
    const Shape counts = repeats(in.shape.size(), bindings);
    const size_t fresh = counts.size() - in.shape.size();
    CopyPart part;
    for (size_t i = 0; i < counts.size(); ++i) {
      const int64_t size = i < fresh ? 1 : in.shape[i - fresh];
      part.src.shape.insert(part.src.shape.end(), {counts[i], size});
      part.src.strides.insert(part.src.strides.end(), {0, i < fresh ? 0 : in.strides[i - fresh]});
      part.dst.strides.insert(part.dst.strides.end(),
                              {size * output.strides[i], output.strides[i]});
    }
    part.dst.shape = part.src.shape;
    return {std::move(part)};
  }

 private:
  Shape repeats(size_t rank, const Bindings& bindings) const {
    Shape counts;
    for (size_t i = repeats_.size(); tile_ && i < rank; ++i) counts.push_back(1);
    for (const Dim& dim : repeats_) {
      counts.push_back(dim.evaluate(bindings));
      require(counts.back() >= 0, ErrorCode::kInvalid, "repeat: ", counts.back(), " times");
    }
    require(counts.size() >= rank, ErrorCode::kInvalid, "repeat: ", counts.size(),
            " counts for a tensor of rank ", rank);
    return counts;
  }

  bool tile_;
  std::vector<Dim> repeats_;
};

/// repeat_interleave: each slice along an axis several times in a row.
class RepeatInterleave : public MoveOp {
 public:
  explicit RepeatInterleave(ArgReader& reader) {
    reader.tensor("self");
    repeats_ = reader.dim("repeats");
    if (reader.has("dim")) axis_ = reader.integer("dim");
    reader.ignore("dim");
    reader.ignore("output_size");
  }
  std::string_view name() const override { return "repeat_interleave"; }

 protected:
  Shape output_shape(std::span<const Shape> inputs, const Bindings& bindings) const override {
    const int64_t count = repeats_.evaluate(bindings);
    require(count >= 0, ErrorCode::kInvalid, "repeat_interleave: ", count, " times");
    Shape result = inputs[0];
    if (!axis_) return {checked_mul(element_count(result), count)};
    int64_t& size = result[static_cast<size_t>(axis(result.size()))];
    size = checked_mul(size, count);
    return result;
  }

  std::vector<CopyPart> parts(std::span<const TensorDesc> inputs, const TensorDesc& output,
                              const Bindings& bindings) const override {
    CopyPart part{0, inputs[0], 0, inputs[0], 0};
    const int64_t count = repeats_.evaluate(bindings);
    if (axis_) {
      const int64_t at = axis(inputs[0].shape.size());
      part.dst.strides = output.strides;
      part.dst.strides[static_cast<size_t>(at)] *= count;
      insert(part, at + 1, count, output.strides[static_cast<size_t>(at)]);
    } else {
      part.dst.strides = row_major(inputs[0].shape).strides;
      for (int64_t& stride : part.dst.strides) stride *= count;
      insert(part, inputs[0].rank(), count, 1);
    }
    return {std::move(part)};
  }

 private:
  int64_t axis(size_t rank) const { return normalize_axis(*axis_, static_cast<int64_t>(rank)); }

  /// Adds the axis along which the source stands still.
  static void insert(CopyPart& part, int64_t at, int64_t size, int64_t dst_stride) {
    part.src.shape.insert(part.src.shape.begin() + at, size);
    part.src.strides.insert(part.src.strides.begin() + at, 0);
    part.dst.shape = part.src.shape;
    part.dst.strides.insert(part.dst.strides.begin() + at, dst_stride);
  }

  Dim repeats_;
  std::optional<int64_t> axis_;
};

}  // namespace

void register_repeat(OpRegistry& registry);
void register_repeat(OpRegistry& registry) {
  registry.add({"aten.repeat.default"}, [](ArgReader& reader) -> std::unique_ptr<Op> {
    return std::make_unique<Repeat>(reader, false);
  });
  registry.add({"aten.tile.default"}, [](ArgReader& reader) -> std::unique_ptr<Op> {
    return std::make_unique<Repeat>(reader, true);
  });
  registry.add({"aten.repeat_interleave.self_int"}, [](ArgReader& reader) -> std::unique_ptr<Op> {
    return std::make_unique<RepeatInterleave>(reader);
  });
}

}  // namespace plica
