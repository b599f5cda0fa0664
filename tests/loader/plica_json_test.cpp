#include "engine/loader/plica_json.h"

#include <catch2/catch_test_macros.hpp>
#include <cmath>
#include <limits>

#include "engine/graph/reference.h"
#include "engine/loader/number_text.h"
#include "tests/loader/model_files.h"

namespace plica {
namespace {

using namespace test;

const char* const kModel = R"({
  "format": "plica", "version": 1,
  "symbols": {"batch": {"min": 1, "max": 64}},
  "inputs": [{"name": "x", "shape": ["batch", 2]}],
  "tensors": {
    "w": {"data": [[1, 2], [3, 4]]},
    "b": {"dtype": "float32", "shape": [2], "data": [10, 20]}
  },
  "nodes": [{"op": "linear", "args": {"input": "%x", "weight": "%w", "bias": "%b"}, "output": "y"}],
  "outputs": ["y"]
})";

void check_equal(const Manifest& a, const Manifest& b) {
  CHECK(format_plica_json(a, nullptr) == format_plica_json(b, nullptr));
  REQUIRE(a.tensors.size() == b.tensors.size());
  for (size_t i = 0; i < a.tensors.size(); ++i) {
    CHECK(a.tensors[i].name == b.tensors[i].name);
    CHECK(a.tensors[i].constant.dtype() == b.tensors[i].constant.dtype());
    CHECK(a.tensors[i].constant.shape() == b.tensors[i].constant.shape());
    CHECK(a.tensors[i].constant.dense_bytes() == b.tensors[i].constant.dense_bytes());
  }
  for (size_t i = 0; i < a.nodes.size(); ++i) {
    CHECK(a.nodes[i].target == b.nodes[i].target);
    CHECK(a.nodes[i].name == b.nodes[i].name);
    REQUIRE(a.nodes[i].args.size() == b.nodes[i].args.size());
    for (const auto& [name, arg] : a.nodes[i].args) {
      const Arg& other = b.nodes[i].args.at(name);
      const auto* list = std::get_if<std::vector<Dim>>(&arg);
      if (list && list->empty()) continue;  // an empty list has no element type
      CHECK(arg.index() == other.index());
    }
  }
}

TEST_CASE("plica json: a model written by hand computes", "[loader]") {
  const TempDir dir;
  const Manifest manifest = read_manifest(dir.write("net.json", kModel));
  CHECK(manifest.nodes[0].target == "aten.linear.default");
  CHECK(manifest.nodes[0].name == "y");
  const Graph graph = build_graph(manifest);
  CHECK(evaluate(graph, {Array{{1, 2}, {1, 1}}})[0].data == std::vector<double>{13, 27});
}

TEST_CASE("plica json: the example of the specification computes", "[loader]") {
  const TempDir dir;
  const std::string readme =
      read_file(std::filesystem::path(PLICA_SOURCE_DIR) / "models/README.md");
  const size_t begin = readme.find("```json\n") + 8;
  const std::string text = readme.substr(begin, readme.find("```", begin) - begin);
  const Graph graph = build_graph(read_manifest(dir.write("net.json", text)));
  const auto y = evaluate(graph, {Array{{4, 2}, {0, 0, 0, 1, 1, 0, 1, 1}}});
  const double expected[] = {0, 1, 1, 0};
  // eps = 1e-5 shrinks the hidden units by half of that.
  for (int i = 0; i < 4; ++i) CHECK(std::fabs(y[0].data[i] - expected[i]) < 1e-5);
}

TEST_CASE("plica json: short names of operators", "[loader]") {
  const auto target = [](const std::string& op) {
    return parse_plica_json(replaced(kModel, "\"linear\"", "\"" + op + "\""), nullptr)
        .nodes[0]
        .target;
  };
  CHECK(target("add.Tensor") == "aten.add.Tensor");
  CHECK(target("aten.relu") == "aten.relu.default");
  CHECK(target("aten.relu.default") == "aten.relu.default");
  CHECK(target("mine.op.default") == "mine.op.default");
}

TEST_CASE("plica json: arguments of every kind round-trip", "[loader]") {
  const double inf = std::numeric_limits<double>::infinity();
  Manifest m = parse_plica_json(kModel, nullptr);
  m.notes = {"a \"note\""};
  m.nodes[0].module = "fc";
  m.nodes[0].args = {{"none", std::monostate()},
                     {"yes", true},
                     {"int", Dim(std::numeric_limits<int64_t>::max())},
                     {"size", Dim::apply(Dim::Operator::kMul, Dim::symbol("batch"), 49)},
                     {"float", 1.0},
                     {"small", 1e-5},
                     {"inf", -inf},
                     {"text", std::string("same")},
                     {"sigil", std::string("%x")},
                     {"sigil2", std::string("=1")},
                     {"percent", std::string("%")},
                     {"tensor", TensorRef{"w"}},
                     {"bools", std::vector<bool>{true, false}},
                     {"dims", std::vector<Dim>{1, Dim::symbol("batch")}},
                     {"floats", std::vector<double>{2, inf, 0.5}},
                     {"texts", std::vector<std::string>{"a", "%b"}},
                     {"tensors", std::vector<TensorRef>{{"w"}, {"b"}}},
                     {"gaps", std::vector<std::optional<TensorRef>>{{}, TensorRef{"b"}, {}}},
                     {"empty", std::vector<Dim>{}}};
  const std::string text = format_plica_json(m, nullptr);
  const Manifest read = parse_plica_json(text, nullptr);
  check_equal(m, read);
  const Args& args = read.nodes[0].args;
  CHECK(std::get<double>(args.at("inf")) == -inf);
  CHECK(std::get<std::string>(args.at("sigil")) == "%x");
  CHECK(std::get<TensorRef>(args.at("tensor")).name == "w");
  CHECK(std::get<Dim>(args.at("size")).evaluate({{"batch", 2}}) == 98);
  CHECK(std::get<double>(args.at("float")) == 1.0);
  const auto& gaps = std::get<std::vector<std::optional<TensorRef>>>(args.at("gaps"));
  REQUIRE(gaps.size() == 3);
  CHECK((!gaps[0] && gaps[1] && gaps[1]->name == "b" && !gaps[2]));
}

TEST_CASE("plica json: tensors round-trip bit for bit in every dtype", "[loader]") {
  const float inf = std::numeric_limits<float>::infinity();
  Manifest m = parse_plica_json(kModel, nullptr);
  const auto add = [&](const std::string& name, DType dtype, const std::string& bytes) {
    auto owner = std::make_shared<const std::string>(bytes);
    const auto count = static_cast<int64_t>(bytes.size() / size_of(dtype));
    m.tensors.push_back(
        {name, name + ".path",
         Constant(dtype, {count}, {1}, reinterpret_cast<const std::byte*>(owner->data()), owner)});
  };
  m.tensors.push_back(
      {"f", "f", Constant::from_floats({2, 3}, {0.1f, -0.0f, 1e-45f, inf, -inf, 3.4028235e38f})});
  m.tensors.push_back({"d", "d", Constant::from_doubles({3}, {0.1, 5e-324, -0.0})});
  m.tensors.push_back({"e", "e", Constant::from_floats({0}, {})});
  m.tensors.push_back({"s", "s", Constant::from_floats({}, {2.5})});
  m.tensors.push_back({"nan", "nan", Constant::from_floats({1}, {std::nanf("")})});
  std::string halves;
  for (uint32_t i = 0; i < 65536; i += 37) {
    if ((i & 0x7c00) != 0x7c00) halves += le(i, 2);
  }
  add("h", DType::kF16, halves + le(0x7c00, 2) + le(0xfc00, 2) + le(0x8000, 2) + le(1, 2));
  std::string brains;
  for (uint32_t i = 0; i < 65536; i += 41) {
    if ((i & 0x7f80) != 0x7f80) brains += le(i, 2);
  }
  add("bf", DType::kBF16, brains);
  add("i64", DType::kI64, le(uint64_t{1} << 63, 8) + le(~uint64_t{0} >> 1, 8) + le(42, 8));
  add("u8", DType::kU8, std::string("\0\x7f\xff", 3));
  add("i8", DType::kI8, std::string("\0\x7f\xff", 3));
  add("i16", DType::kI16, le(0x8000, 2));
  add("i32", DType::kI32, le(0x80000000, 4));
  add("bool", DType::kBool, std::string("\0\1", 2));
  REQUIRE(survives_as_text(m));
  check_equal(m, parse_plica_json(format_plica_json(m, nullptr), nullptr));

  const TempDir dir;
  write_manifest(m, dir.path() / "net.json");
  CHECK(!std::filesystem::exists(dir.path() / "net.safetensors"));
  check_equal(m, read_manifest(dir.path() / "net.json"));
  write_manifest(m, dir.path() / "net.safetensors");
  check_equal(m, read_manifest(dir.path() / "net.safetensors"));

  // A NaN of another bit pattern cannot be told apart in text.
  add("payload", DType::kF32, le(0xffc00001, 4));
  CHECK(!survives_as_text(m));
  write_manifest(m, dir.path() / "nan.json");
  CHECK(std::filesystem::exists(dir.path() / "nan.safetensors"));
  check_equal(m, read_manifest(dir.path() / "nan.json"));
}

TEST_CASE("plica json: random floats survive as text", "[loader]") {
  uint32_t state = 12345;
  for (int i = 0; i < 20000; ++i) {
    state = state * 1664525 + 1013904223;
    std::byte bytes[4], again[4];
    std::memcpy(bytes, &state, 4);
    const double value = load_as_double(DType::kF32, bytes);
    if (!std::isfinite(value)) continue;
    const std::string text = element_text(DType::kF32, bytes);
    REQUIRE(encode_number(DType::kF32, std::stod(text), again));
    CHECK(std::memcmp(bytes, again, 4) == 0);
  }
}

TEST_CASE("plica json: large models put their weights into a neighbour", "[loader]") {
  const TempDir dir;
  Manifest m = parse_plica_json(kModel, nullptr);
  m.tensors.push_back(
      {"big", "layer.weight", Constant::from_floats({5000}, std::vector<float>(5000, 1))});
  const auto path = dir.path() / "big.json";
  write_manifest(m, path);
  const std::string text = read_file(path);
  CHECK(text.find("\"file\": \"big.safetensors\"") != std::string::npos);
  CHECK(text.find("\"path\": \"layer.weight\"") != std::string::npos);
  for (bool copy : {false, true}) check_equal(m, read_manifest(path, {copy}));
}

TEST_CASE("plica json: what PyTorch wrote survives conversion", "[loader]") {
  const TempDir dir;
  const auto data = std::filesystem::path(PLICA_SOURCE_DIR) / "tests/loader/data";
  for (const char* name : {"tiny", "features"}) {
    const Manifest m = read_manifest(data / (std::string(name) + ".pt2"));
    for (const char* ending : {".json", ".safetensors"}) {
      const auto path = dir.path() / (std::string(name) + ending);
      write_manifest(m, path);
      check_equal(m, read_manifest(path));
    }
  }
}

TEST_CASE("plica json: malformed models are refused", "[loader][malformed]") {
  const TempDir dir;
  const struct {
    const char* label;
    const char *from, *to, *expected;
  } edits[] = {
      {"other JSON", "\"format\": \"plica\",", "", "not a Plica model"},
      {"other version", "\"version\": 1", "\"version\": 2", "version is 2"},
      {"unknown member", "\"symbols\"", "\"weights\"", "unknown member 'weights'"},
      {"unknown operator", "\"linear\"", "\"frobnicate\"", "unknown operator"},
      {"unknown node member", "\"op\"", "\"oops\": 1, \"op\"", "unknown member 'oops'"},
      {"unknown tensor member", "{\"data\": [[1", "{\"x\": 1, \"data\": [[1", "unknown member 'x'"},
      {"ragged data", "[[1, 2], [3, 4]]", "[[1, 2], [3]]", "list of 1 entries"},
      {"data deeper than its shape", "\"data\": [10, 20]", "\"data\": [[10], [20]]", "number"},
      {"text in data", "[[1, 2], [3, 4]]", "[[1, 2], [3, \"four\"]]", "must be a number"},
      {"too few numbers", "\"data\": [10, 20]", "\"data\": [10]", "list of 1 entries"},
      {"number beyond its dtype", "\"data\": [10, 20]", "\"data\": [10, 1e39]", "cannot represent"},
      {"integer beyond its dtype", "\"float32\", \"shape\": [2], \"data\": [10, 20]",
       "\"int8\", \"shape\": [2], \"data\": [10, 200]", "cannot represent"},
      {"fraction in integers", "\"float32\", \"shape\": [2], \"data\": [10, 20]",
       "\"int8\", \"shape\": [2], \"data\": [10, 0.5]", "cannot represent"},
      {"unknown dtype", "\"float32\"", "\"complex64\"", "complex64"},
      {"overflowing shape", "\"shape\": [2]", "\"shape\": [4294967296, 4294967296]", "overflows"},
      {"large shape, little data", "\"shape\": [2]", "\"shape\": [1000000000000]", "list of 2"},
      {"negative shape", "\"shape\": [2]", "\"shape\": [-2]", "negative"},
      {"neither data nor file", "\"data\": [10, 20]", "\"path\": \"b\"", "neither"},
      {"data and file", "\"data\": [10, 20]", "\"data\": [10, 20], \"file\": \"a\"", "both"},
      {"tensor that nothing reads", ", \"bias\": \"%b\"", "", "nothing reads tensor 'b'"},
      {"unknown tensor", "%w", "%ghost", "nothing defines"},
      {"cycle", "\"%x\"", "\"%y\"", "only computed later"},
      {"tensor of an input's name", "\"b\": {", "\"x\": {", "two tensors are called 'x'"},
      {"output of an input's name", "\"output\": \"y\"", "\"output\": \"x\"", "two tensors"},
      {"empty name", "\"output\": \"y\"", "\"output\": \"\"", "cannot be the name"},
      {"no output", ", \"output\": \"y\"", "", "missing member 'outputs'"},
      {"no model outputs", "\"outputs\": [\"y\"]", "\"outputs\": []", "no outputs"},
      {"unknown output", "\"outputs\": [\"y\"]", "\"outputs\": [\"z\"]", "'z'"},
      {"missing argument", "\"weight\": \"%w\", ", "", "argument 'weight' is missing"},
      {"leftover argument", "\"weight\"", "\"extra\": 1, \"weight\"", "unknown argument 'extra'"},
      {"list of mixed kinds", "\"weight\": \"%w\"", "\"weight\": [1, \"a\"]", "one kind"},
      {"nested argument", "\"weight\": \"%w\"", "\"weight\": [[1]]", "expected a number"},
      {"bad size", "[\"batch\", 2]", "[\"batch +\", 2]", "size 'batch +'"},
      {"size that nothing binds", "[\"batch\", 2]", "[\"batch*2\", 2]",
       "not the size of any input"},
      {"bad symbol", "\"batch\": {", "\"2x\": {", "letters, digits"},
      {"empty range", "\"max\": 64", "\"max\": 0", "range 1 to 0"},
      {"wrong rank", "[[1, 2], [3, 4]]", "[[[1, 2], [3, 4]]]", "node 'y'"},
      {"sizes that do not fit", "[\"batch\", 2]", "[\"batch\", 3]", "node 'y'"},
      {"rank beyond the limit", "[\"batch\", 2]", "[\"batch\",1,1,1,1,1,1,1,2]", "rank 9"},
      {"file that is missing", "\"data\": [10, 20]", "\"file\": \"none.safetensors\"",
       "cannot open"},
  };
  for (const auto& edit : edits) {
    check_refused(dir, edit.label, replaced(kModel, edit.from, edit.to), edit.expected);
  }
  check_refused(dir, "empty file", "", "is empty");
  check_refused(dir, "text", "hello", "neither a .pt2");
  check_refused(dir, "spaces", "   ", "neither a .pt2");
  check_refused(dir, "deep nesting", "{\"a\":" + std::string(100000, '['), "nested deeper");
  CHECK(load_error(dir.path()).find("is a directory") != std::string::npos);
  CHECK(load_error(dir.path() / "nothing").find("cannot open") != std::string::npos);
  CHECK(load_error("/dev/zero").find("not a regular file") != std::string::npos);
}

TEST_CASE("plica json: weight files only come from the model's folder (trap 23)",
          "[loader][malformed]") {
  const TempDir dir;
  std::filesystem::create_directory(dir.path() / "in");
  const TempDir elsewhere;
  const std::string weights = format_safetensors({{"b", Constant::from_floats({2}, {10, 20})}}, {});
  elsewhere.write("w.safetensors", weights);
  dir.write("w.safetensors", weights);
  dir.write("in/w.safetensors", weights);
  std::filesystem::create_symlink(elsewhere.path() / "w.safetensors",
                                  dir.path() / "out.safetensors");
  std::filesystem::create_symlink("w.safetensors", dir.path() / "same.safetensors");
  std::filesystem::create_symlink("loop", dir.path() / "loop");
  const auto load = [&](const std::string& file) {
    const std::string text = replaced(kModel, "\"data\": [10, 20]", "\"file\": \"" + file + "\"");
    return load_error(dir.write("net.json", text));
  };
  CHECK(load("w.safetensors").empty());
  CHECK(load("same.safetensors").empty());
  CHECK(load("out.safetensors").find("leads out") != std::string::npos);
  for (const std::string name :
       {"in/w.safetensors", "./w.safetensors", "..", ".", "in\\\\w.safetensors", "C:w.safetensors",
        "w.safetensors\\u0000", "/etc/passwd"}) {
    INFO(name);
    CHECK(load(name).find("plain file name") != std::string::npos);
  }
  CHECK(load((elsewhere.path() / "w.safetensors").string()).find("plain") != std::string::npos);
  CHECK(load("loop").find("cannot open") != std::string::npos);
  CHECK(load("in").find("is a directory") != std::string::npos);
  CHECK(load("").find("neither 'data' nor 'file'") != std::string::npos);
}

TEST_CASE("plica json: graph and weights must belong together", "[loader][malformed]") {
  const TempDir dir;
  const auto load = [&](const std::vector<std::pair<std::string, Constant>>& tensors,
                        const std::string& member) {
    dir.write("w.safetensors", format_safetensors(tensors, {}));
    return load_error(dir.write(
        "net.json", replaced(kModel, "\"dtype\": \"float32\", \"shape\": [2], \"data\": [10, 20]",
                             member + "\"file\": \"w.safetensors\"")));
  };
  const Constant b = Constant::from_floats({2}, {10, 20});
  CHECK(load({{"b", b}}, "").empty());
  CHECK(load({{"c", b}}, "\"path\": \"c\", ").empty());
  CHECK(load({{"c", b}}, "").find("no tensor 'b'") != std::string::npos);
  CHECK(load({{"b", b}, {"c", b}}, "").find("'c' that the graph") != std::string::npos);
  CHECK(load({{"b", b}}, "\"shape\": [3], ").find("'shape' is [3]") != std::string::npos);
  CHECK(load({{"b", b}}, "\"dtype\": \"float64\", ").find("'dtype' is") != std::string::npos);
}

}  // namespace
}  // namespace plica
