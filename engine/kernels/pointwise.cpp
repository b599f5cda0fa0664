#include "engine/kernels/pointwise.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "engine/kernels/pointwise.cpp"
#include "hwy/foreach_target.h"  // IWYU pragma: keep
#include "hwy/highway.h"
// After foreach_target.
#include "engine/kernels/pointwise-inl.h"

HWY_BEFORE_NAMESPACE();
namespace plica {
namespace HWY_NAMESPACE {

RowFunction select_row_function(int kind) {
  switch (static_cast<Pointwise::Kind>(kind)) {
#define PLICA_SELECT(kind, name) \
  case Pointwise::kind:          \
    return &pointwise_row<Pointwise::kind>;
    PLICA_POINTWISE_FUNCTIONS(PLICA_SELECT)
#undef PLICA_SELECT
  }
  return nullptr;
}

// NOLINTNEXTLINE(google-readability-namespace-comments)
}  // namespace HWY_NAMESPACE
}  // namespace plica
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace plica {

HWY_EXPORT(select_row_function);

RowFunction row_function(const Pointwise& f) {
  return HWY_DYNAMIC_DISPATCH(select_row_function)(f.kind);
}

BoundPointwise::BoundPointwise(const Pointwise& f)
    : function(f.is_identity() ? nullptr : row_function(f)),
      a(static_cast<float>(f.a)),
      b(static_cast<float>(f.b)) {}

}  // namespace plica
#endif  // HWY_ONCE
