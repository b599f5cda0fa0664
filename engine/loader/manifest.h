#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "engine/graph/args.h"
#include "engine/graph/constant.h"
#include "engine/graph/symbol.h"
#include "engine/loader/mapped_file.h"

namespace plica {

/// A model as its file describes it, before any operator has been looked up: what every reader
/// produces, what build_graph() takes, and what `plica convert` writes. Operators and arguments
/// have PyTorch's (ATen's) names.
struct Manifest {
  struct Input {
    std::string name;
    std::vector<Dim> dims;
  };
  struct Tensor {
    std::string name;  ///< What nodes refer to.
    std::string path;  ///< PyTorch's name, "layer1.0.bn1.running_var"; equals `name` elsewhere.
    Constant constant;
  };
  struct Node {
    std::string name;
    std::string target;  ///< "aten.conv2d.default"
    std::string module;  ///< "layer1.0.conv1", or "".
    Args args;
    std::vector<std::string> outputs;
  };

  std::map<std::string, SymbolRange> symbols;
  std::vector<Input> inputs;
  std::vector<Tensor> tensors;
  std::vector<Node> nodes;
  std::vector<std::string> outputs;
  std::vector<std::string> notes;
  std::vector<std::shared_ptr<const MappedFile>> files;  ///< Where constants may be.
};

}  // namespace plica
