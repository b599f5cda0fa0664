#include <catch2/catch_test_macros.hpp>
#include <functional>
#include <random>

#include "engine/loader/plica_json.h"
#include "tests/loader/model_files.h"

namespace plica {
namespace {

using namespace test;

/// Flips, overwrites, removes, repeats or cuts a few bytes.
std::string mutated(std::string file, std::mt19937& random) {
  const auto below = [&](size_t n) { return static_cast<size_t>(random() % n); };
  const size_t edits = 1 + below(3);
  for (size_t i = 0; i < edits && !file.empty(); ++i) {
    const size_t at = below(file.size());
    switch (below(7)) {
      case 0:
        file[at] = static_cast<char>(file[at] ^ (1 << below(8)));
        break;
      case 1:
        file[at] = static_cast<char>(random());
        break;
      case 2:
        file.resize(at);
        break;
      case 3:
        file.erase(at, 1 + below(8));
        break;
      case 4:
        file.insert(at, file.substr(below(file.size()), 1 + below(16)));
        break;
      case 5: {
        const char* const numbers[] = {"-1", "0", "4294967296", "9223372036854775807", "1e308"};
        file.insert(at, numbers[below(5)]);
        break;
      }
      case 6: {
        const size_t width = size_t{1} << below(4);
        if (at + width <= file.size()) file.replace(at, width, std::string(width, '\xff'));
        break;
      }
    }
  }
  return file;
}

/// `make` gives a damaged file from the valid one.
void mutate(const std::string& valid, int count, uint32_t seed,
            const std::function<std::string(const std::string&, std::mt19937&)>& make) {
  const TempDir dir;
  REQUIRE(load_error(dir.write("valid", valid)).empty());
  std::mt19937 random(seed);
  int refused = 0;
  for (int i = 0; i < count; ++i) {
    INFO("seed " << seed << ", mutation " << i);
    refused += !load_error(dir.write("mutated", make(valid, random))).empty();
  }
  CHECK(refused > count / 4);
}

const auto kPlain = [](const std::string& file, std::mt19937& random) {
  return mutated(file, random);
};

TEST_CASE("mutated .pt2 archives are loaded or refused, nothing else", "[loader][fuzz]") {
  mutate(Pt2Parts().bytes(), 1500, 1, kPlain);
}

TEST_CASE("mutated members of .pt2 archives are loaded or refused", "[loader][fuzz]") {
  mutate(Pt2Parts().bytes(), 1500, 2, [](const std::string&, std::mt19937& random) {
    Pt2Parts parts;
    std::string* const texts[] = {&parts.model, &parts.model, &parts.model, &parts.weights,
                                  &parts.constants};
    std::string& text = *texts[random() % 5];
    text = mutated(text, random);
    return parts.bytes();
  });
}

Manifest small_model() {
  const TempDir dir;
  return read_manifest(dir.write("net.pt2", Pt2Parts().bytes()), {.copy = true});
}

TEST_CASE("mutated .json models are loaded or refused", "[loader][fuzz]") {
  mutate(format_plica_json(small_model(), nullptr), 1500, 3, kPlain);
}

TEST_CASE("mutated .safetensors models are loaded or refused", "[loader][fuzz]") {
  const TempDir dir;
  write_manifest(small_model(), dir.path() / "net.safetensors");
  mutate(read_file(dir.path() / "net.safetensors"), 1500, 4, kPlain);
}

}  // namespace
}  // namespace plica
