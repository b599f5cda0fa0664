#include <cmath>
#include <string>
#include <utility>

#include "engine/graph/args.h"
#include "engine/ops/view.h"

namespace plica {
namespace {

/// Operators that change nothing in inference: copies, conversions between floating-point types,
/// dropout in eval mode.
class Identity : public ReshapeOp {
 public:
  explicit Identity(std::string_view name) : name_(name) {}
  std::string_view name() const override { return name_; }
  bool is_samplewise(std::span<const Shape>) const override { return true; }
  void plan(StepBuilder& builder) const override { builder.alias(0, 0, builder.input_desc(0)); }

 protected:
  Shape output_shape(std::span<const Shape> inputs, const Bindings&) const override {
    return inputs[0];
  }

 private:
  std::string_view name_;
};

/// Conversion to int32 or int64, of constants alone: decompositions compute positions so.
class Truncation : public Identity {
 public:
  explicit Truncation(std::string type) : Identity("to"), type_(std::move(type)) {}
  std::string describe() const override { return type_; }
  bool keeps_elements() const override { return false; }

  void evaluate(std::span<const Array* const> inputs, std::span<Array> outputs,
                const Bindings&) const override {
    for (size_t i = 0; i < outputs[0].data.size(); ++i) {
      // As PyTorch sees it, which has computed it in float32.
      const auto value = std::trunc(static_cast<double>(static_cast<float>(inputs[0]->data[i])));
      const double limit = type_ == "int32" ? 0x1p31 : 0x1p63;
      require(value >= -limit && value < limit, ErrorCode::kInvalid, "conversion of ", value,
              " to ", type_);
      outputs[0].data[i] = value;
    }
  }
  void check(const Node&) const override { refuse(); }
  void plan(StepBuilder&) const override { refuse(); }

 private:
  [[noreturn]] void refuse() const {
    fail(ErrorCode::kUnsupported, "conversion of data to ", type_,
         ": the engine computes in float32 only");
  }
  std::string type_;
};

std::unique_ptr<Op> make_copy_op(ArgReader& reader) {
  reader.tensor("self");
  reader.ignore("memory_format");
  return std::make_unique<Identity>("identity");
}

std::unique_ptr<Op> make_conversion(ArgReader& reader) {
  reader.tensor("self");
  // The type of a second tensor is floating-point, as every tensor of the engine is.
  if (reader.is_tensor("other")) reader.tensor("other");
  std::string type = "float32";
  if (reader.has("dtype")) type = reader.text("dtype");
  if (type.starts_with("torch.")) type.erase(0, 6);
  for (const char* argument :
       {"dtype", "layout", "device", "pin_memory", "non_blocking", "copy", "memory_format"}) {
    reader.ignore(argument);
  }
  if (type == "int32" || type == "int64") return std::make_unique<Truncation>(std::move(type));
  const bool floating =
      type == "float32" || type == "float64" || type == "float16" || type == "bfloat16";
  require(floating, ErrorCode::kUnsupported, "conversion of data to ", type,
          ": the engine computes in float32 only");
  return std::make_unique<Identity>("to");
}

std::unique_ptr<Op> make_dropout(ArgReader& reader) {
  // The in-place variants call it self.
  reader.tensor(reader.has("self") ? "self" : "input");
  const double p = reader.number("p");
  const bool train = reader.boolean("train");
  require(!train || p == 0, ErrorCode::kUnsupported,
          "dropout in training mode; call model.eval() before torch.export.export");
  return std::make_unique<Identity>("dropout");
}

/// Exported only from modules in training mode.
std::unique_ptr<Op> make_native_dropout(ArgReader&) {
  fail(ErrorCode::kUnsupported,
       "dropout in training mode; call model.eval() before torch.export.export");
}

}  // namespace

void register_identity(OpRegistry& registry);
void register_identity(OpRegistry& registry) {
  registry.add({"aten.contiguous.default", "aten.clone.default", "aten.alias.default",
                "aten.detach.default", "aten.detach_copy.default", "aten.lift_fresh_copy.default",
                "aten.lift_fresh.default", "aten.lift.default"},
               make_copy_op);
  registry.add({"aten.to.dtype", "aten.to.device", "aten.to.dtype_layout", "aten.to.other",
                "aten._to_copy.default", "aten.type_as.default", "aten.float.default",
                "aten.double.default"},
               make_conversion);
  registry.add({"aten.dropout.default", "aten.feature_dropout.default",
                "aten.alpha_dropout.default", "aten.feature_alpha_dropout.default"},
               make_dropout);
  registry.add({"aten.native_dropout.default"}, make_native_dropout);
}

}  // namespace plica
