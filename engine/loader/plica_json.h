#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "engine/loader/manifest.h"
#include "engine/loader/safetensors.h"

namespace plica {

/// Gives the .safetensors file that a tensor's "file" member names, or, for an empty name, the one
/// that the graph itself is in. Throws where there is none.
using TensorFiles = std::function<const SafeTensors&(const std::string& name)>;

/// Reads Plica's own format, specified in models/README.md. Throws kFormat, kUnsupported or
/// kInvalid.
Manifest parse_plica_json(std::string_view text, const TensorFiles& files);

/// The text for `manifest`. `weights_file`: null to write the tensors' numbers into the text, else
/// the name that their "file" member gets; "" for a graph inside the .safetensors itself.
std::string format_plica_json(const Manifest& manifest, const std::string* weights_file);

/// Whether every tensor's bits survive being written as text.
bool survives_as_text(const Manifest& manifest);

/// What a tensor is called in a .safetensors file: its PyTorch name, or its own where two tensors
/// have the same PyTorch name.
std::string stored_name(const Manifest& manifest, const Manifest::Tensor& tensor);

}  // namespace plica
