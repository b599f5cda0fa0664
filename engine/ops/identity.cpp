#include <string>

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
  void plan(StepBuilder& builder) const override { builder.alias(0, 0, builder.input_desc(0)); }

 protected:
  Shape output_shape(std::span<const Shape> inputs, const Bindings&) const override {
    return inputs[0];
  }

 private:
  std::string_view name_;
};

/// Refuses a conversion to anything but a floating-point type.
void require_floating(ArgReader& reader, std::string_view argument) {
  if (!reader.has(argument)) return reader.ignore(argument);
  std::string type = reader.text(argument);
  if (type.starts_with("torch.")) type.erase(0, 6);
  const bool floating =
      type == "float32" || type == "float64" || type == "float16" || type == "bfloat16";
  require(floating, ErrorCode::kUnsupported, "conversion of data to ", type,
          ": the engine computes in float32 only");
}

std::unique_ptr<Op> make_copy_op(ArgReader& reader) {
  reader.tensor("self");
  reader.ignore("memory_format");
  return std::make_unique<Identity>("identity");
}

std::unique_ptr<Op> make_conversion(ArgReader& reader) {
  reader.tensor("self");
  // The type of a second tensor is floating-point, as every tensor of the engine is.
  if (reader.is_tensor("other")) reader.tensor("other");
  require_floating(reader, "dtype");
  for (const char* argument :
       {"layout", "device", "pin_memory", "non_blocking", "copy", "memory_format"}) {
    reader.ignore(argument);
  }
  return std::make_unique<Identity>("to");
}

std::unique_ptr<Op> make_dropout(ArgReader& reader) {
  reader.tensor("input");
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
