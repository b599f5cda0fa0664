#include "engine/loader/pt2.h"

#include <catch2/catch_test_macros.hpp>

#include "engine/graph/reference.h"
#include "tests/loader/model_files.h"

namespace plica {
namespace {

using namespace test;

const std::filesystem::path kData = std::filesystem::path(PLICA_SOURCE_DIR) / "tests/loader/data";

TEST_CASE("pt2: an archive made by hand loads and computes", "[loader]") {
  const TempDir dir;
  for (bool copy : {false, true}) {
    for (bool zip64 : {false, true}) {
      const auto path = dir.write("net.pt2", make_zip(Pt2Parts().entries(), zip64).bytes);
      const Manifest manifest = read_manifest(path, {copy});
      REQUIRE(manifest.tensors.size() == 2);
      CHECK(manifest.tensors[0].path == "fc.weight");
      CHECK(manifest.nodes.at(0).module == "fc");
      CHECK(manifest.symbols.at("s77").min == 1);
      CHECK(manifest.symbols.at("s77").max == 64);
      const Graph graph = build_graph(manifest);
      const auto y = evaluate(graph, {Array{{1, 2}, {1, 1}}});
      CHECK(y[0].data == std::vector<double>{13, 27});
      CHECK(graph.outputs()[0]->shape == Shape{kDynamic, 2});
    }
  }
}

TEST_CASE("pt2: a copied file may be truncated while the model is alive (trap 26)", "[loader]") {
  const TempDir dir;
  const auto path = dir.write("net.pt2", Pt2Parts().bytes());
  const Manifest manifest = read_manifest(path, {.copy = true});
  dir.write("net.pt2", "");
  CHECK(manifest.tensors[0].constant.to_floats() == std::vector<float>{1, 2, 3, 4});
}

TEST_CASE("pt2: files that PyTorch wrote", "[loader]") {
  SECTION("tiny") {
    const Manifest m = read_manifest(kData / "tiny.pt2");
    CHECK(m.nodes.size() == 3);
    CHECK(m.nodes[1].module == "1");
    CHECK(m.nodes[2].target == "aten.relu_.default");
    CHECK(m.tensors.size() == 6);  // num_batches_tracked is left out
    CHECK(m.notes.empty());
    CHECK(m.symbols.size() == 1);
    CHECK(m.symbols.begin()->second.max == 64);
  }
  SECTION("features") {
    const Manifest m = read_manifest(kData / "features.pt2");
    CHECK(m.outputs.size() == 2);
    const auto tensor = [&](const std::string& path) {
      for (const auto& t : m.tensors) {
        if (t.path == path) return t.constant.to_floats();
      }
      return std::vector<float>();
    };
    CHECK(tensor("shift") == std::vector<float>{1, 2, 3});
    CHECK(tensor("turned") == std::vector<float>{0, 3, 6, 1, 4, 7, 2, 5, 8});
    CHECK(tensor("lifted_tensor_0") == std::vector<float>{0.5});
    // The body of torch.no_grad() is part of the graph.
    const bool inlined = std::any_of(m.nodes.begin(), m.nodes.end(), [](const auto& node) {
      return node.name == "linear_1" && node.target == "aten.linear.default" && node.module == "b";
    });
    CHECK(inlined);
  }
  SECTION("train mode is refused with advice") {
    const std::string what = load_error(kData / "train.pt2");
    CHECK(what.find("call model.eval() before torch.export.export()") != std::string::npos);
    CHECK(what.find("num_batches_tracked") != std::string::npos);
  }
}

TEST_CASE("pt2: sizes of inputs may be expressions", "[loader]") {
  const TempDir dir;
  Pt2Parts parts;
  parts.model = replaced(parts.model, R"({"as_int": 2}],
        "strides")",
                         R"json({"as_expr": {"expr_str":
        "Add(Mul(Integer(2), Symbol('s77', positive=True, integer=True)), Integer(-4))"}}],
        "strides")json");
  const Manifest m = read_manifest(dir.write("net.pt2", parts.bytes()));
  CHECK(m.inputs[0].dims[1].evaluate({{"s77", 3}}) == 2);
}

TEST_CASE("pt2: non-tensor inputs and outputs are noted", "[loader]") {
  const TempDir dir;
  Pt2Parts parts;
  parts.model = replaced(parts.model, R"({"user_input": )",
                         R"({"constant_input": {"name": "k", "value": {"as_none": true}}},
                            {"user_input": )");
  parts.model = replaced(parts.model, R"({"as_tensor": {"name": "x"}}],)",
                         R"({"as_none": true}, {"as_tensor": {"name": "x"}}],)");
  parts.model = replaced(parts.model, R"("output_specs": [)",
                         R"("output_specs": [{"user_output": {"arg": {"as_none": true}}},
                            {"user_input_mutation": {"arg": {"name": "linear"},
                             "user_input_name": "x"}},)");
  const Manifest m = read_manifest(dir.write("net.pt2", parts.bytes()));
  CHECK(m.notes.size() == 3);
  CHECK(m.outputs == std::vector<std::string>{"linear"});
}

struct Edit {
  const char* label;
  const char* from;
  const char* to;
  const char* expected;
};

TEST_CASE("pt2: malformed graphs are refused", "[loader][malformed]") {
  const TempDir dir;
  const Edit edits[] = {
      {"unknown operator", "aten.linear.default\"", "aten.frobnicate.default\"",
       "node 'fc (linear)': unknown operator 'aten.frobnicate.default'"},
      {"operator of another namespace", "torch.ops.aten.linear.default",
       "torch.ops.mine.linear.default", "unknown operator 'mine.linear.default'"},
      {"control flow", "torch.ops.aten.linear.default", "torch.ops.higher_order.cond",
       "unknown operator 'higher_order.cond'"},
      {"missing argument",
       R"({"name": "weight", "arg": {"as_tensor": {"name": "p_w"}}, "kind": 1},)", "",
       "argument 'weight' is missing"},
      {"leftover argument", R"({"name": "input", )",
       R"({"name": "extra", "arg": {"as_int": 1}}, {"name": "input", )",
       "unknown argument 'extra'"},
      {"argument given twice", R"({"name": "input", )",
       R"({"name": "input", "arg": {"as_int": 1}}, {"name": "input", )", "given twice"},
      {"argument of the wrong kind", R"({"name": "input", "arg": {"as_tensor": {"name": "x"}})",
       R"({"name": "input", "arg": {"as_int": 3})", "must be a tensor"},
      {"argument of an unknown kind", R"("arg": {"as_tensor": {"name": "p_w"}})",
       R"("arg": {"as_complex": {"real": 1, "imag": 0}})", "as_complex"},
      {"argument with two kinds", R"("arg": {"as_tensor": {"name": "p_w"}})",
       R"("arg": {"as_tensor": {"name": "p_w"}, "as_int": 1})", "must have one member"},
      {"argument without a kind", R"("arg": {"as_tensor": {"name": "p_w"}})", R"("arg": {})",
       "must have one member"},
      {"custom object", R"("arg": {"as_tensor": {"name": "p_w"}})",
       R"("arg": {"as_custom_obj": {"name": "p_w"}})", "as_custom_obj"},
      {"unknown tensor", R"("arg": {"as_tensor": {"name": "p_w"}})",
       R"("arg": {"as_tensor": {"name": "ghost"}})", "nothing defines"},
      {"cycle", R"("arg": {"as_tensor": {"name": "x"}}, "kind": 1},
                  {"name": "weight")",
       R"("arg": {"as_tensor": {"name": "linear"}}, "kind": 1},
                  {"name": "weight")",
       "only computed later"},
      {"two tensors of one name", R"("outputs": [{"as_tensor": {"name": "linear"}}],
       "metadata")",
       R"("outputs": [{"as_tensor": {"name": "x"}}], "metadata")", "two tensors are called 'x'"},
      {"more outputs than the operator has", R"("outputs": [{"as_tensor": {"name": "linear"}}],
       "metadata")",
       R"("outputs": [{"as_tensor": {"name": "linear"}}, {"as_tensor": {"name": "b"}}],
       "metadata")",
       "outputs"},
      {"no outputs",
       R"("output_specs": [{"user_output": {"arg": {"as_tensor": {"name": "linear"}}}}])",
       R"("output_specs": [])", "no outputs"},
      {"unknown output", R"({"user_output": {"arg": {"as_tensor": {"name": "linear"}}}})",
       R"({"user_output": {"arg": {"as_tensor": {"name": "ghost"}}}})", "'ghost'"},
      {"buffer mutation", R"({"user_output": {"arg": {"as_tensor": {"name": "linear"}}}})",
       R"({"buffer_mutation": {"arg": {"name": "linear"}, "buffer_name": "bn.running_mean"}})",
       "call model.eval() before torch.export.export()"},
      {"gradient output", R"({"user_output": {"arg": {"as_tensor": {"name": "linear"}}}})",
       R"({"gradient_to_parameter": {"arg": {"name": "linear"}, "parameter_name": "w"}})",
       "gradient_to_parameter"},
      {"input that is a size", R"({"user_input": {"arg": {"as_tensor": {"name": "x"}}}})",
       R"({"user_input": {"arg": {"as_sym_int": {"as_name": "x"}}}})", "inputs must be tensors"},
      {"integer input", R"("x": {"dtype": 7)", R"("x": {"dtype": 5)", "it is int64"},
      {"input of an unknown dtype", R"("x": {"dtype": 7)", R"("x": {"dtype": 99)", "code 99"},
      {"input without its sizes", R"("tensor_values": {"x")", R"("tensor_values": {"y")",
       "missing member 'x'"},
      {"negative input size", R"({"as_int": 2}],
        "strides")",
       R"({"as_int": -2}],
        "strides")",
       "negative size"},
      {"overflowing input size", R"({"as_int": 2}],
        "strides")",
       R"({"as_int": 9223372036854775807}],
        "strides")",
       ""},
      {"size outside 64 bits", R"({"as_int": 2}],
        "strides")",
       R"({"as_int": 9223372036854775808}],
        "strides")",
       "outside 64 bits"},
      {"damaged size expression", "\"Symbol('s77', positive=True, integer=True)\", \"hint\"",
       "\"Symbol('s77\", \"hint\"", "size 'Symbol('s77'"},
      {"unknown size function", "\"Symbol('s77', positive=True, integer=True)\", \"hint\"",
       "\"Max(Integer(2), Symbol('s77', positive=True, integer=True))\", \"hint\"", "uses 'Max'"},
      {"size that no input binds", "\"Symbol('s77', positive=True, integer=True)\", \"hint\"",
       "\"Mul(Integer(2), Symbol('s77', positive=True, integer=True))\", \"hint\"",
       "'s77' is not bound by any input"},
      {"division by zero in a size", "\"Symbol('s77', positive=True, integer=True)\", \"hint\"",
       "\"FloorDiv(Integer(2), Integer(0))\", \"hint\"", "division by zero"},
      {"empty range", R"("min_val": 1, "max_val": 64)", R"("min_val": 9, "max_val": 4)",
       "range 9 to 4"},
      {"range of the wrong type", R"("min_val": 1)", R"("min_val": "1")", "must be an integer"},
      {"signature and graph differ",
       R"({"as_tensor": {"name": "p_w"}}, {"as_tensor": {"name": "b_b"}},)",
       R"({"as_tensor": {"name": "p_w"}},)", "signature has 3 inputs"},
      {"unknown input kind", R"({"parameter": )", R"({"surprise": )", "'surprise'"},
      {"two parameters of one name", R"({"buffer": {"arg": {"name": "b_b"})",
       R"({"buffer": {"arg": {"name": "p_w"})", "two tensors are called 'p_w'"},
      {"weight that the archive lacks", "\"fc.weight\"", "\"fc.wait\"",
       "the archive holds no tensor 'fc.wait'"},
      {"newer schema", R"("major": 8)", R"("major": 9)", "schema version is 9"},
      {"no schema", R"("schema_version")", R"("schema")", "missing member 'schema_version'"},
      {"graph is a list", R"("graph": {)", R"("graph": [], "graph_": {)", "must be an object"},
      {"nodes missing", R"("nodes")", R"("nudes")", "missing member 'nodes'"},
      {"node is a number", R"("nodes": [)", R"("nodes": [7, )", ""},
      {"target is a number", R"("target": "torch.ops.aten.linear.default")", R"("target": 5)",
       "must be a string"},
      {"duplicate key", R"("target": "torch.ops.aten.linear.default")",
       R"("target": "a", "target": "torch.ops.aten.linear.default")", "duplicate key 'target'"},
      {"operator that returns sizes", R"("torch.ops.aten.sym_size.int")",
       R"("torch.ops.aten.item.default")", "as_sym_int"},
      {"dropout in training",
       "torch.ops.aten.linear.default\", \"name\": \"linear\",\n       \"inputs\": [",
       "torch.ops.aten.dropout.default\", \"name\": \"linear\",\n       \"inputs\": [{\"name\": "
       "\"train\", "
       "\"arg\": {\"as_bool\": true}},",
       "call model.eval() before torch.export.export()"},
      {"writes to a parameter", R"("torch.ops.aten.linear.default", "name": "linear",
       "inputs": [{"name": "input", "arg": {"as_tensor": {"name": "x"}})",
       R"("torch.ops.aten.add_.Tensor", "name": "linear",
       "inputs": [{"name": "self", "arg": {"as_tensor": {"name": "p_w"}})",
       "call model.eval() before torch.export.export()"},
  };
  for (const Edit& edit : edits) {
    Pt2Parts parts;
    parts.model = replaced(parts.model, edit.from, edit.to);
    check_refused(dir, edit.label, parts.bytes(), edit.expected);
  }
}

TEST_CASE("pt2: malformed weights are refused", "[loader][malformed]") {
  const TempDir dir;
  const std::string sizes = R"("sizes": [{"as_int": 2}, {"as_int": 2}])";
  const std::string strides = R"("strides": [{"as_int": 2}, {"as_int": 1}])";
  const auto size_pair = [](const std::string& a, const std::string& b) {
    return R"("sizes": [{"as_int": )" + a + R"(}, {"as_int": )" + b + "}]";
  };
  const auto stride_pair = [](const std::string& a, const std::string& b) {
    return R"("strides": [{"as_int": )" + a + R"(}, {"as_int": )" + b + "}]";
  };
  struct {
    const char* label;
    std::string from, to;
    const char* expected;
  } edits[] = {
      {"shape larger than its entry", sizes, size_pair("3", "2"), "reaches to byte 24"},
      {"stride that leaves its entry", strides, stride_pair("3", "1"), "reaches to byte 20"},
      {"offset that leaves its entry", R"("storage_offset": {"as_int": 0})",
       R"("storage_offset": {"as_int": 1})", "reaches to byte 20"},
      {"negative offset", R"("storage_offset": {"as_int": 0})",
       R"("storage_offset": {"as_int": -1})", "negative storage offset"},
      {"negative stride", strides, stride_pair("-2", "1"), "negative stride"},
      {"negative size", sizes, size_pair("-2", "2"), "negative dimension"},
      {"overflowing product", sizes, size_pair("4294967296", "4294967296"), "overflows"},
      {"overflow behind a zero", sizes,
       R"("sizes": [{"as_int": 0}, {"as_int": 4294967296}, {"as_int": 4294967296}])",
       "'strides' 2"},
      {"overflowing stride", strides, stride_pair("9223372036854775807", "1"), "overflows"},
      {"overflowing offset", R"("storage_offset": {"as_int": 0})",
       R"("storage_offset": {"as_int": 9223372036854775807})", "overflows"},
      {"expansion that the file cannot justify", sizes + ",\n    " + strides,
       size_pair("1000000", "1000") + "," + stride_pair("0", "0"), "far larger than the file"},
      {"ranks differ", strides, R"("strides": [{"as_int": 1}])", "'strides' 1"},
      {"symbolic size", sizes, R"("sizes": [{"as_expr": {"expr_str": "s"}}, {"as_int": 2}])",
       "must be fixed"},
      {"unknown dtype", R"("dtype": 7)", R"("dtype": 29)", "dtype with code 29"},
      {"complex dtype", R"("dtype": 7)", R"("dtype": 10)", "dtype with code 10"},
      {"wider dtype than stored", R"("dtype": 7)", R"("dtype": 8)", "reaches to byte 32"},
      {"sparse layout", R"("layout": 7)", R"("layout": 1)", "layout"},
      {"pickled tensor", R"("use_pickle": false)", R"("use_pickle": true)", "pickled"},
      {"no metadata", R"("tensor_meta": {)", R"("tensor_meta": null, "other": {)",
       "expected an object"},
      {"entry that does not exist", "weight_0", "weight_9", "no entry"},
      {"entry outside its folder", "weight_0", "../../archive_format", "no entry"},
      {"config missing", R"("config": )", R"("konfig": )", "missing member 'config'"},
      {"config is a list", R"({"config": {)", R"({"config": [], "c": {)", "must be an object"},
      {"size is a float", sizes, size_pair("2.0", "2"), "must be an integer"},
  };
  for (const auto& edit : edits) {
    Pt2Parts parts;
    parts.weights = replaced(parts.weights, edit.from, edit.to);
    check_refused(dir, edit.label, parts.bytes(), edit.expected);
  }
}

TEST_CASE("pt2: a shape that does not fit its operator is refused", "[loader][malformed]") {
  const TempDir dir;
  Pt2Parts parts;
  parts.weights = replaced(parts.weights, R"("sizes": [{"as_int": 2}, {"as_int": 2}],
    "strides": [{"as_int": 2}, {"as_int": 1}])",
                           R"("sizes": [{"as_int": 4}], "strides": [{"as_int": 1}])");
  check_refused(dir, "weight of the wrong rank", parts.bytes(), "node 'fc (linear)'");
}

TEST_CASE("pt2: archives of another kind are named", "[loader][malformed]") {
  const TempDir dir;
  const auto zip = [](std::vector<ZipEntry> entries) { return make_zip(entries).bytes; };
  const auto edited = [](auto change) {
    Pt2Parts parts;
    change(parts);
    return parts.bytes();
  };
  const auto with_entry = [](const std::string& name) {
    auto entries = Pt2Parts().entries();
    entries.push_back({name, "x"});
    return make_zip(entries).bytes;
  };
  const auto without_entry = [](const std::string& name) {
    auto entries = Pt2Parts().entries();
    std::erase_if(entries, [&](const ZipEntry& e) { return e.name == name; });
    return make_zip(entries).bytes;
  };
  check_refused(dir, "checkpoint", zip({{"m/data.pkl", "x"}, {"m/data/0", "y"}}), "checkpoint");
  check_refused(dir, "torchscript", zip({{"m/code/m.py", "x"}, {"m/constants.pkl", "y"}}),
                "TorchScript");
  check_refused(dir, "old export", zip({{"serialized_exported_program.json", "{}"}}),
                "PyTorch 2.8");
  check_refused(dir, "other zip", zip({{"a.txt", "x"}}), "not one of torch.export.save");
  check_refused(dir, "empty zip", zip({}), "not one of torch.export.save");
  check_refused(dir, "legacy pickle", std::string("\x80\x02}q\x00.", 6), "pickle");
  check_refused(dir, "wrong format", edited([](auto& p) { p.format = "zzz"; }), "'zzz'");
  check_refused(dir, "wrong version", edited([](auto& p) { p.version = "1"; }), "version is 1");
  check_refused(dir, "big endian", edited([](auto& p) { p.byteorder = "big"; }), "byte order");
  check_refused(dir, "two models", with_entry("net/models/other.json"), "2 models");
  check_refused(dir, "pickled weights", with_entry("net/data/weights/my.pt"), "pickled");
  check_refused(dir, "no model", without_entry("net/models/my.json"), "no models/*.json");
  check_refused(dir, "no weights config", without_entry("net/data/weights/my_weights_config.json"),
                "no entry");
  check_refused(dir, "no byte order", without_entry("net/byteorder"), "no entry");
  check_refused(dir, "no weight", without_entry("net/data/weights/weight_0"), "no entry");
  auto entries = Pt2Parts().entries();
  entries[4].method = 8;
  check_refused(dir, "compressed model", make_zip(entries).bytes, "is compressed");
  entries = Pt2Parts().entries();
  entries[0].method = 8;
  check_refused(dir, "compressed weight", make_zip(entries).bytes, "is compressed");
  check_refused(dir, "model is no JSON", edited([](auto& p) { p.model = "pickle"; }),
                "net/models/my.json: JSON, byte");
  check_refused(dir, "model is not UTF-8",
                edited([](auto& p) { p.model = replaced(p.model, "fc.weight", "fc\xff.weight"); }),
                "UTF-8");
}

}  // namespace
}  // namespace plica
