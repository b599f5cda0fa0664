// What builds without oneDNN compile instead of onednn_conv.cpp.
#include "engine/onednn/onednn_conv.h"

namespace plica {

bool OnednnConv::available() { return false; }

std::shared_ptr<const OnednnConv> OnednnConv::create(const IgemmShape&, bool) { return nullptr; }

}  // namespace plica
