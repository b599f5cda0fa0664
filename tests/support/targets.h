#pragma once

#include <catch2/catch_test_macros.hpp>
#include <cstdint>

#include "engine/kernels/processor.h"
#include "hwy/targets.h"

namespace plica::test {

/// Calls fn() once for every instruction set that this binary has and this processor supports.
/// Functions must look up their kernels inside fn().
template <typename Fn>
void for_each_target(Fn fn) {
  const auto choose = [](int64_t targets) {
    hwy::SetSupportedTargetsForTest(targets);
    hwy::GetChosenTarget().Update(hwy::SupportedTargets());
  };
  choose(0);
  for (const int64_t target : hwy::SupportedAndGeneratedTargets()) {
    choose(target);
    INFO("target " << hwy::TargetName(target));
    fn();
  }
  choose(0);
}

/// Methods are chosen as on AMD's processors until it dies: which one is fastest depends on them.
struct ChooseAsOnAmd {
  ChooseAsOnAmd() { set_processor_for_test("AMD"); }
  ~ChooseAsOnAmd() { set_processor_for_test(""); }
  ChooseAsOnAmd(const ChooseAsOnAmd&) = delete;
  ChooseAsOnAmd& operator=(const ChooseAsOnAmd&) = delete;
};

}  // namespace plica::test
