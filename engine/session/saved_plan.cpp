#include "engine/session/saved_plan.h"

#include <string_view>
#include <utility>

#include "engine/base/fail.h"
#include "engine/base/fingerprint.h"
#include "engine/kernels/peak.h"
#include "engine/kernels/processor.h"
#include "engine/loader/mapped_file.h"
#include "engine/loader/safetensors.h"
#include "engine/loader/write_file.h"
#include "plica/version.h"

namespace plica {
namespace {

/// Changes with the layout of packed weights and with the fingerprints of constants.
constexpr const char* kFormat = "11";

std::string model_fingerprint(const Graph& graph) {
  Fingerprint hash;
  hash.add_text(graph.print());
  for (const auto& value : graph.values()) {
    if (!value->is_constant()) continue;
    hash.add_text(value->name);
    hash.add(value->constant->fingerprint());
  }
  return std::to_string(hash.value());
}

}  // namespace

std::map<std::string, std::string> SavedPlan::identity(const Graph& graph) {
  return {{"plica plan", kFormat},
          {"version", PLICA_VERSION_STRING},
          {"instruction set", peak_target()},
          {"kind of processor", processor().kind},
          {"model", model_fingerprint(graph)}};
}

void SavedPlan::write(const std::filesystem::path& path, const PackCache& cache,
                      const Graph& graph) {
  FileWriter file(path);
  write_safetensors(cache.save(), identity(graph),
                    [&](std::string_view bytes) { file.write(bytes); });
  file.commit();
}

std::string SavedPlan::read(const std::filesystem::path& path, bool copy, const Graph& graph,
                            PackCache::Saved& saved) {
  const auto file = MappedFile::open(path, copy);
  require(recognises_safetensors(file->bytes()), ErrorCode::kFormat, "is not a saved plan");
  SafeTensors content = parse_safetensors(file->bytes(), file);
  require(content.metadata.contains("plica plan"), ErrorCode::kFormat, "is not a saved plan");
  for (const auto& [key, value] : identity(graph)) {
    const auto found = content.metadata.find(key);
    if (found == content.metadata.end() || found->second != value) {
      return concat("saved for another ", key == "plica plan" ? "format" : key);
    }
  }
  saved = std::move(content.tensors);
  return "";
}

}  // namespace plica
