#include "engine/graph/step_builder.h"

namespace plica {

int StepBuilder::input_count() const { return static_cast<int>(node().inputs.size()); }

const Constant* StepBuilder::constant(int index) const {
  const Value* value = node().inputs.at(static_cast<size_t>(index));
  return value->is_constant() ? &*value->constant : nullptr;
}

}  // namespace plica
