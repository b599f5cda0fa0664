#pragma once

// Everything a program needs to run a model.
#include "plica/error.h"
#include "plica/fold_report.h"
#include "plica/model.h"
#include "plica/session.h"
#include "plica/tensor.h"
#include "plica/version.h"
