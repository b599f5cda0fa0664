#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_exception.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include "engine/session/session_impl.h"
#include "plica/plica.h"
#include "tests/loader/model_files.h"

namespace plica {
namespace {

using Catch::Matchers::ContainsSubstring;
namespace fs = std::filesystem;

const fs::path kBundled = fs::path(PLICA_SOURCE_DIR) / "models/bundled";

struct TemporaryFile {
  test::TempDir folder;
  fs::path path = folder.path() / "net.plan";

  std::string read() const {
    std::ifstream file(path, std::ios::binary);
    std::stringstream content;
    content << file.rdbuf();
    return content.str();
  }
  void write(const std::string& content) const {
    std::ofstream(path, std::ios::binary | std::ios::trunc) << content;
  }
};

/// The scores of an image that is not quite uniform.
std::vector<float> classify(const Model& model) {
  Session session(model);
  std::vector<float> image(28 * 28), scores(10);
  for (size_t i = 0; i < image.size(); ++i) image[i] = 0.001f * static_cast<float>(i % 97);
  session.run({ConstTensor(image.data(), {1, 1, 28, 28})}, {Tensor(scores.data(), {1, 10})});
  return scores;
}

Model load(const char* name, const fs::path& plan = {}) {
  LoadOptions options;
  options.plan = plan;
  return Model::load(kBundled / name, options);
}

TEST_CASE("a saved plan gives the same bits without packing", "[session][saved_plan]") {
  const TemporaryFile file;
  const Model model = load("lenet_bn.pt2");
  const std::vector<float> expected = classify(model);
  model.save_plan(file.path);
  const Model later = load("lenet_bn.pt2", file.path);
  CHECK(later.notes().size() == model.notes().size());
  CHECK(classify(later) == expected);
  CHECK(later.impl()->packed().bytes() == 0);
  // What was mapped can be saved again.
  later.save_plan(file.path);
  CHECK(classify(load("lenet_bn.pt2", file.path)) == expected);
}

TEST_CASE("a plan of another model or other options is not used", "[session][saved_plan]") {
  const TemporaryFile file;
  const Model model = load("lenet_bn.pt2");
  const std::vector<float> expected = classify(model);
  model.save_plan(file.path);

  const Model other = load("lenet_bn_custom.pt2", file.path);
  REQUIRE_FALSE(other.notes().empty());
  CHECK_THAT(other.notes().back(), ContainsSubstring("saved for another model"));
  CHECK(classify(other) == classify(load("lenet_bn_custom.pt2")));

  LoadOptions unfused;
  unfused.fuse = false;
  unfused.plan = file.path;
  const Model plain = Model::load(kBundled / "lenet_bn.pt2", unfused);
  CHECK_THAT(plain.notes().back(), ContainsSubstring("saved for another model"));

  std::string content = file.read();
  const size_t at = content.find("\"version\":\"");
  REQUIRE(at != std::string::npos);
  content[at + 11] = '9';
  file.write(content);
  const Model newer = load("lenet_bn.pt2", file.path);
  CHECK_THAT(newer.notes().back(), ContainsSubstring("saved for another version"));
  CHECK(classify(newer) == expected);
}

TEST_CASE("a damaged plan is an error that names it", "[session][saved_plan]") {
  const TemporaryFile file;
  const Model model = load("lenet_bn.pt2");
  CHECK_THROWS_WITH(model.save_plan(file.path), ContainsSubstring("packed"));
  classify(model);
  model.save_plan(file.path);
  const std::string content = file.read();

  const auto fails = [&](const std::string& bytes, const std::string& why) {
    file.write(bytes);
    CHECK_THROWS_WITH(classify(load("lenet_bn.pt2", file.path)), ContainsSubstring(why));
  };
  fails("", "is not a saved plan");
  fails("PK\3\4 something else", "is not a saved plan");
  for (const size_t length : {size_t{9}, size_t{100}, content.size() / 2, content.size() - 1}) {
    CAPTURE(length);
    fails(content.substr(0, length), file.path.filename().string());
  }
  // Weights of a wrong type.
  std::string wrong = content;
  const size_t at = wrong.find("\"dtype\":\"F32\",\"shape\":[");
  REQUIRE(at != std::string::npos);
  wrong.replace(at + 9, 3, "I32");
  fails(wrong, "aligned float32 numbers");
  CHECK_THROWS_AS(load("lenet_bn.pt2", file.path.string() + ".missing"), Error);
}

}  // namespace
}  // namespace plica
