#pragma once

#include "plica/export.h"

#define PLICA_VERSION_MAJOR 0
#define PLICA_VERSION_MINOR 1
#define PLICA_VERSION_PATCH 0
#define PLICA_VERSION_STRING "0.1.0"

namespace plica {

/// The version of the library that is linked, "0.1.0"; compare with PLICA_VERSION_STRING.
PLICA_API const char* version() noexcept;

}  // namespace plica
