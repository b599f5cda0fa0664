#include "engine/kernels/gather.h"

#include <algorithm>
#include <utility>

#include "engine/base/ceil_div.h"
#include "engine/kernels/copy.h"

namespace plica {
namespace {

/// A task should outweigh the cost of handing it to a thread.
constexpr int64_t kTaskElements = 8192;

class GatherKernel : public Kernel {
 public:
  GatherKernel(const TensorDesc& src, const TensorDesc& dst, std::vector<GatherPlace> places)
      : block_(src, dst), places_(std::move(places)) {
    const int64_t elements = std::max<int64_t>(element_count(src.shape), 1);
    const auto count = static_cast<int64_t>(places_.size());
    places_per_task_ =
        std::clamp<int64_t>(kTaskElements / elements, 1, std::max<int64_t>(count, 1));
    groups_ = ceil_div(count, places_per_task_);
  }

  void run(const KernelArgs& args, Team& team) const noexcept override {
    const float* src = args.in[0];
    float* dst = args.out[0];
    const int64_t parts = block_.tasks();
    team.for_each(groups_ * parts, [&](int64_t task, int) {
      const int64_t first = task / parts * places_per_task_;
      const int64_t last = std::min(first + places_per_task_, static_cast<int64_t>(places_.size()));
      for (int64_t i = first; i < last; ++i) {
        const GatherPlace& place = places_[static_cast<size_t>(i)];
        block_.run_task(src + place.src, dst + place.dst, task % parts);
      }
    });
  }

 private:
  StridedCopy block_;
  std::vector<GatherPlace> places_;
  int64_t places_per_task_ = 1, groups_ = 0;
};

}  // namespace

std::unique_ptr<Kernel> make_gather(const TensorDesc& src, const TensorDesc& dst,
                                    std::vector<GatherPlace> places) {
  return std::make_unique<GatherKernel>(src, dst, std::move(places));
}

}  // namespace plica
