#include "engine/loader/load.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <map>
#include <new>
#include <string>
#include <string_view>
#include <system_error>

#include "engine/base/fail.h"
#include "engine/loader/context.h"
#include "engine/loader/mapped_file.h"
#include "engine/loader/plica_json.h"
#include "engine/loader/pt2.h"
#include "engine/loader/safetensors.h"
#include "engine/loader/write_file.h"
#include "engine/loader/zip.h"

namespace plica {
namespace {

namespace fs = std::filesystem;

constexpr const char* kGraphKey = "plica";
/// Models up to this size are written with their numbers as text.
constexpr int64_t kMaxInlineElements = 4096;

std::string_view as_text(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

/// The weight files that one model names, each opened once; every tensor must be wanted.
class Neighbours {
 public:
  Neighbours(const fs::path& model, bool copy) : folder_(model.parent_path()), copy_(copy) {
    if (folder_.empty()) folder_ = ".";
  }

  const SafeTensors& open(const std::string& name) {
    require(!name.empty(), ErrorCode::kFormat, "has neither 'data' nor 'file'");
    if (const auto found = files_.find(name); found != files_.end()) return found->second;
    return with_context("weight file '" + name + "'", [&]() -> const SafeTensors& {
      const auto file = MappedFile::open(resolve(name), copy_, false);
      mapped_.push_back(file);
      return files_.emplace(name, parse_safetensors(file->bytes(), file)).first->second;
    });
  }

  const std::map<std::string, SafeTensors>& files() const { return files_; }
  const std::vector<std::shared_ptr<const MappedFile>>& mapped() const { return mapped_; }

 private:
  /// Only plain names of files that really are in the model's folder.
  fs::path resolve(const std::string& name) const {
    const bool plain = name != "." && name != ".." && name.size() <= 255 &&
                       name.find_first_of(std::string("/\\:\0", 4)) == std::string::npos;
    require(plain, ErrorCode::kFormat, "must be a plain file name in the model's own folder");
    std::error_code error;
    const fs::path folder = fs::canonical(folder_, error);
    require(!error, ErrorCode::kIo, "cannot resolve the model's folder: ", error.message());
    const fs::path target = fs::canonical(folder / name, error);
    require(!error, ErrorCode::kIo, "cannot open: ", error.message());
    require(target.parent_path() == folder, ErrorCode::kFormat,
            "is a symbolic link that leads out of the model's folder");
    return target;
  }

  fs::path folder_;
  bool copy_;
  std::map<std::string, SafeTensors> files_;
  std::vector<std::shared_ptr<const MappedFile>> mapped_;
};

/// Leftover weights mean that graph and weights do not belong together.
void check_all_wanted(const Manifest& manifest, const SafeTensors& stored) {
  for (const auto& [name, constant] : stored.tensors) {
    bool wanted = false;
    for (const auto& tensor : manifest.tensors) wanted = wanted || tensor.path == name;
    require(wanted, ErrorCode::kInvalid, "the .safetensors file has a tensor '", name,
            "' that the graph does not name");
  }
}

Manifest read_json(const fs::path& path, const MappedFile& file, bool copy) {
  Neighbours neighbours(path, copy);
  Manifest manifest = parse_plica_json(
      as_text(file.bytes()),
      [&](const std::string& name) -> const SafeTensors& { return neighbours.open(name); });
  for (const auto& [name, stored] : neighbours.files()) check_all_wanted(manifest, stored);
  manifest.files = neighbours.mapped();
  return manifest;
}

Manifest read_safetensors(const std::shared_ptr<const MappedFile>& file) {
  const SafeTensors stored = parse_safetensors(file->bytes(), file);
  const auto graph = stored.metadata.find(kGraphKey);
  require(graph != stored.metadata.end(), ErrorCode::kUnsupported,
          "holds weights but no graph; write a model with tools/export.py or plica convert");
  Manifest manifest =
      parse_plica_json(graph->second, [&](const std::string& name) -> const SafeTensors& {
        require(name.empty(), ErrorCode::kFormat,
                "'file' is not allowed in a graph that is inside a .safetensors file");
        return stored;
      });
  check_all_wanted(manifest, stored);
  manifest.files = {file};
  return manifest;
}

/// A pickle that no zip archive surrounds begins with its protocol number.
bool is_pickle(std::span<const std::byte> bytes) {
  return bytes.size() >= 2 && bytes[0] == std::byte{0x80} && bytes[1] >= std::byte{2} &&
         bytes[1] <= std::byte{5};
}

Manifest read(const fs::path& path, const ReadOptions& options) {
  const auto file = MappedFile::open(path, options.copy);
  const auto bytes = file->bytes();
  require(!bytes.empty(), ErrorCode::kFormat, "is empty");
  if (ZipArchive::recognises(bytes)) {
    Manifest manifest = read_pt2(ZipArchive(bytes), bytes.size(), file);
    manifest.files = {file};
    return manifest;
  }
  require(!is_pickle(bytes), ErrorCode::kUnsupported,
          "is a pickle (torch.save or pickle.dump), which has no graph and which Plica never "
          "unpickles; export the model with tools/export.py");
  if (recognises_safetensors(bytes)) return read_safetensors(file);
  const size_t first = as_text(bytes).find_first_not_of(" \t\r\n");
  require(first != std::string_view::npos && bytes[first] == std::byte{'{'}, ErrorCode::kFormat,
          "is neither a .pt2 archive, nor a .safetensors, nor a Plica .json file");
  return read_json(path, *file, options.copy);
}

void write_tensors(const fs::path& path, const Manifest& manifest,
                   const std::map<std::string, std::string>& metadata) {
  std::vector<std::pair<std::string, Constant>> tensors;
  for (const auto& tensor : manifest.tensors) {
    tensors.emplace_back(stored_name(manifest, tensor), tensor.constant);
  }
  FileWriter file(path);
  write_safetensors(tensors, metadata, [&](std::string_view bytes) { file.write(bytes); });
  file.commit();
}

void write(const Manifest& manifest, const fs::path& path) {
  if (path.extension() == ".safetensors") {
    const std::string same_file;
    write_tensors(path, manifest,
                  {{"format", "pt"}, {kGraphKey, format_plica_json(manifest, &same_file)}});
    return;
  }
  require(path.extension() == ".json", ErrorCode::kUsage,
          "the name of a model to be written must end in .json or .safetensors");
  int64_t elements = 0;
  for (const auto& tensor : manifest.tensors) elements += tensor.constant.count();
  if (elements <= kMaxInlineElements && survives_as_text(manifest)) {
    write_file(path, format_plica_json(manifest, nullptr));
    return;
  }
  const fs::path weights = fs::path(path).replace_extension(".safetensors");
  const std::string name = weights.filename().string();
  with_context(name, [&] { write_tensors(weights, manifest, {{"format", "pt"}}); });
  write_file(path, format_plica_json(manifest, &name));
}

template <typename Fn>
auto in_file(const fs::path& path, Fn&& fn) {
  try {
    return fn();
  } catch (Error& error) {
    error.in_file(path.string());
    throw;
  } catch (const std::bad_alloc&) {
    throw Error(ErrorCode::kIo, "not enough memory").in_file(path.string());
  }
}

}  // namespace

Manifest read_manifest(const fs::path& path, const ReadOptions& options) {
  return in_file(path, [&] { return read(path, options); });
}

void write_manifest(const Manifest& manifest, const fs::path& path) {
  in_file(path, [&] { write(manifest, path); });
}

}  // namespace plica
