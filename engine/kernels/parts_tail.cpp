#include "engine/kernels/parts_tail.h"

#include <algorithm>

namespace plica {

PartsTail::PartsTail(std::vector<IgemmPart>& parts) {
  if (parts.size() < 2 || !parts[0].epilogue.has_tail()) return;
  epilogue_ = parts[0].epilogue;
  const IgemmShape& shape = parts[0].shape;
  pixels_ = shape.n;
  for (const IgemmAxis& axis : shape.axis) pixels_ *= axis.dst_size;
  channels_ = shape.groups * shape.oc;
  pixel_ = shape.dst_pixel;
  for (IgemmPart& part : parts) {
    part.epilogue.activation = {};
    part.epilogue.scale = part.epilogue.shift = nullptr;
    part.epilogue.post = {};
  }
}

void PartsTail::run(float* dst, Team& team) const {
  constexpr int64_t kTasksPerThread = 4;
  if (pixels_ == 0) return;
  const int64_t tasks = std::min<int64_t>(pixels_, kTasksPerThread * team.size());
  team.for_each(tasks, [&](int64_t task, int) {
    const int64_t begin = task * pixels_ / tasks, end = (task + 1) * pixels_ / tasks;
    apply_tail_rows(epilogue_, begin, end - begin, pixel_, 0, dst + begin * pixel_, channels_);
  });
}

}  // namespace plica
