#include "engine/loader/pt2.h"

#include <algorithm>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "engine/base/fail.h"
#include "engine/loader/context.h"
#include "engine/loader/pt2_graph.h"

namespace plica {
namespace {

constexpr const char* kExportAdvice =
    "; write one with torch.export.save, or with tools/export.py from a checkpoint";

bool ends_with_any(const ZipArchive& archive, std::string_view ending) {
  return std::any_of(archive.entries().begin(), archive.entries().end(), [&](const auto& entry) {
    return std::string_view(entry.first).ends_with(ending);
  });
}

bool contains_any(const ZipArchive& archive, std::string_view part) {
  return std::any_of(archive.entries().begin(), archive.entries().end(), [&](const auto& entry) {
    return entry.first.find(part) != std::string::npos;
  });
}

/// Throws for an archive that is not one of torch.export.save, saying what it is.
[[noreturn]] void refuse(const ZipArchive& archive) {
  if (contains_any(archive, "/code/") || ends_with_any(archive, "constants.pkl")) {
    fail(ErrorCode::kUnsupported, "is a TorchScript archive, not an exported program",
         kExportAdvice);
  }
  if (ends_with_any(archive, "data.pkl")) {
    fail(ErrorCode::kUnsupported,
         "is a checkpoint of torch.save (pickled), which has no graph and which Plica never "
         "unpickles",
         kExportAdvice);
  }
  if (archive.contains("serialized_exported_program.json") ||
      ends_with_any(archive, "serialized_exported_program.json")) {
    fail(ErrorCode::kUnsupported,
         "was saved by an old PyTorch with pickled weights; load it there with torch.export.load "
         "and save it again with PyTorch 2.8 or later");
  }
  fail(ErrorCode::kUnsupported, "is a zip archive, but not one of torch.export.save",
       kExportAdvice);
}

/// "net/" of the folder that all entries are in.
std::string find_root(const ZipArchive& archive) {
  for (const auto& [name, entry] : archive.entries()) {
    const size_t slash = name.find('/');
    if (slash == std::string::npos) continue;
    std::string root = name.substr(0, slash + 1);
    if (archive.contains(root + "archive_format")) return root;
  }
  refuse(archive);
}

void check_root_files(const ZipArchive& archive, const std::string& root) {
  const auto text = [&](const char* name) {
    std::string_view content = archive.checked_text(root + name);
    while (content.ends_with('\n')) content.remove_suffix(1);
    return std::string(content.substr(0, 40));
  };
  require(text("archive_format") == "pt2", ErrorCode::kFormat, "archive format is '",
          text("archive_format"), "', expected 'pt2'");
  require(text("archive_version") == "0", ErrorCode::kUnsupported, "archive version is ",
          text("archive_version"), ", expected 0");
  require(text("byteorder") == "little", ErrorCode::kUnsupported, "byte order is '",
          text("byteorder"), "'; only little-endian archives can be read");
}

std::string find_model(const ZipArchive& archive, const std::string& root) {
  const std::string folder = root + "models/";
  std::vector<std::string> models;
  for (const auto& [name, entry] : archive.entries()) {
    if (name.starts_with(folder) && name.ends_with(".json") && name.size() > folder.size() + 5) {
      models.push_back(name.substr(folder.size(), name.size() - folder.size() - 5));
    }
  }
  if (models.empty() && contains_any(archive, "/aotinductor/")) {
    fail(ErrorCode::kUnsupported, "holds compiled code (AOTInductor) instead of a graph",
         kExportAdvice);
  }
  require(!models.empty(), ErrorCode::kFormat, "archive has no models/*.json");
  require(models.size() == 1, ErrorCode::kUnsupported, "archive has ", models.size(), " models ('",
          models[0], "', '", models.back(), "', ...); save one per file");
  for (const char* kind : {"weights", "constants"}) {
    require(!archive.contains(root + "data/" + kind + "/" + models[0] + ".pt"),
            ErrorCode::kUnsupported, "its ", kind,
            " are pickled, as an old PyTorch wrote them; load it there with torch.export.load and "
            "save it again with a current one");
  }
  return models[0];
}

}  // namespace

Manifest read_pt2(const ZipArchive& archive, size_t file_size,
                  const std::shared_ptr<const void>& owner) {
  const std::string root = find_root(archive);
  check_root_files(archive, root);
  const std::string model = find_model(archive, root);
  const std::string entry = root + "models/" + model + ".json";
  const JsonDocument document =
      with_context(entry, [&] { return parse_json(archive.checked_text(entry)); });
  const Json& program = document.root();
  const int64_t major = program.at("schema_version").integer("major");
  require(major == 8, ErrorCode::kUnsupported, "schema version is ", major,
          ", expected 8; save the model again with PyTorch 2.8 to 2.13");
  Pt2Weights weights(archive, root, model, file_size, owner);
  return read_pt2_graph(program, weights);
}

}  // namespace plica
