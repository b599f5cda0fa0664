#pragma once

#include "hwy/targets.h"

namespace plica {

/// Detects the processor, once. HWY_DYNAMIC_POINTER before that yields a stub that detects it anew
/// in every call: call this before storing such a pointer.
inline void choose_target() {
  hwy::ChosenTarget& target = hwy::GetChosenTarget();
  if (!target.IsInitialized()) target.Update(hwy::SupportedTargets());
}

}  // namespace plica
