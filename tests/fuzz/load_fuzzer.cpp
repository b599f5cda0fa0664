#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "engine/base/fail.h"
#include "engine/loader/build_graph.h"
#include "engine/loader/plica_json.h"
#include "engine/loader/pt2.h"
#include "engine/loader/safetensors.h"

using namespace plica;

/// Parses the input as each format in turn. Only plica::Error may come out.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::span<const std::byte> bytes(reinterpret_cast<const std::byte*>(data), size);
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto no_file = [](const std::string&) -> const SafeTensors& {
    fail(ErrorCode::kFormat, "no files here");
  };
  const auto attempt = [](auto read) {
    try {
      build_graph(read());
    } catch (const Error&) {
    }
  };
  attempt([&] { return read_pt2(ZipArchive(bytes), size, nullptr); });
  attempt([&] { return parse_plica_json(text, no_file); });
  attempt([&] {
    parse_safetensors(bytes, nullptr);
    return Manifest();
  });
  return 0;
}
