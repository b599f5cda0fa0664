#include "tests/support/allocations.h"

#include "tools/plica/count_allocations.h"

namespace plica::test {

int64_t allocations() {
  const auto count = cli::count_allocations();
  return count ? count() : 0;
}
bool allocations_are_counted() { return cli::count_allocations() != nullptr; }

}  // namespace plica::test
