#include <algorithm>
#include <catch2/catch_test_macros.hpp>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <limits>
#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <vector>

#include "engine/base/fail.h"
#include "engine/graph/add_operator.h"
#include "engine/graph/args.h"
#include "engine/graph/reference.h"
#include "tests/support/run_graph.h"

// Runs every case of tests/golden/*.json. A file is a list of
//   {"name": "...", "target": "aten.relu.default",
//    "args": {"self": {"tensor": 0}, "dim": 1, ...},   {"tensors": [0, null]} for a list of tensors
//    "inputs": [{"shape": [2], "data": [1, "inf"], "constant": false}, ...],
//    "outputs": [{"shape": [2], "data": [1, "inf"]}, ...],     computed by PyTorch in float64
//    "length": 9, "magnitude": 4}
// with as many outputs as count; the operator may have more. A float32 result may differ by
//   (8 + length) * 2^-24 * max(magnitude, largest output).
// `length` (default 1) says how many products a result sums, `magnitude` how large its terms are.

namespace plica {
namespace {

using nlohmann::json;

double number(const json& value) {
  if (!value.is_string()) return value.get<double>();
  const auto text = value.get<std::string>();
  if (text == "nan") return std::numeric_limits<double>::quiet_NaN();
  REQUIRE((text == "inf" || text == "-inf"));
  return text == "inf" ? HUGE_VAL : -HUGE_VAL;
}

Array array(const json& tensor) {
  Array result{tensor.at("shape").get<Shape>(), {}};
  for (const json& value : tensor.at("data")) result.data.push_back(number(value));
  REQUIRE(static_cast<int64_t>(result.data.size()) == element_count(result.shape));
  return result;
}

std::string tensor_name(const json& index) { return "input" + std::to_string(index.get<int>()); }

Arg list(const json& values) {
  if (values.empty()) return std::vector<TensorRef>{};
  const auto all = [&](auto is) { return std::all_of(values.begin(), values.end(), is); };
  if (all([](const json& v) { return v.is_boolean(); })) return values.get<std::vector<bool>>();
  if (all([](const json& v) { return v.is_string(); })) {
    return values.get<std::vector<std::string>>();
  }
  if (all([](const json& v) { return v.is_number_integer(); })) {
    std::vector<Dim> dims;
    for (const json& v : values) dims.emplace_back(v.get<int64_t>());
    return dims;
  }
  return values.get<std::vector<double>>();
}

Arg argument(const json& value) {
  if (value.is_null()) return std::monostate{};
  if (value.is_boolean()) return value.get<bool>();
  if (value.is_number_integer()) return Dim(value.get<int64_t>());
  if (value.is_number()) return value.get<double>();
  if (value.is_array()) return list(value);
  if (value.is_object() && value.contains("tensor")) {
    return TensorRef{tensor_name(value.at("tensor"))};
  }
  if (value.is_object()) {
    std::vector<TensorRef> tensors;
    std::vector<std::optional<TensorRef>> with_gaps;
    for (const json& index : value.at("tensors")) {
      with_gaps.push_back(index.is_null() ? std::nullopt
                                          : std::optional(TensorRef{tensor_name(index)}));
      if (with_gaps.back()) tensors.push_back(*with_gaps.back());
    }
    if (with_gaps.size() == tensors.size()) return tensors;
    return with_gaps;
  }
  const auto text = value.get<std::string>();
  if (text == "inf" || text == "-inf" || text == "nan") return number(value);
  return text;
}

struct Case {
  Graph graph;
  std::vector<Array> inputs;
  std::vector<Array> expected;
};

Case read_case(const json& description) {
  Case result;
  std::vector<Value*> values;
  for (const json& input : description.at("inputs")) {
    Array data = array(input);
    const std::string name = tensor_name(json(values.size()));
    if (input.value("constant", false)) {
      std::vector<float> floats(data.data.begin(), data.data.end());
      values.push_back(result.graph.add_constant(
          name, Constant::from_floats(std::move(data.shape), std::move(floats))));
    } else {
      values.push_back(
          result.graph.add_input(name, std::vector<Dim>(data.shape.begin(), data.shape.end())));
      result.inputs.push_back(std::move(data));
    }
  }
  for (const json& output : description.at("outputs")) result.expected.push_back(array(output));

  const auto target = description.at("target").get<std::string>();
  const OpRegistry& registry = OpRegistry::instance();
  Args args;
  for (const auto& [name, value] : description.at("args").items()) args[name] = argument(value);
  if (registry.find_decomposition(target)) {
    std::vector<std::string> names;
    for (size_t i = 0; i < result.expected.size(); ++i) {
      names.push_back("output" + std::to_string(i));
    }
    add_operator(result.graph, registry, "node", target, args, names);
    for (const std::string& name : names) result.graph.add_output(result.graph.find(name));
    set_shapes(result.graph);
    return result;
  }
  const OpFactory factory = registry.find(target);
  require(factory != nullptr, ErrorCode::kUnsupported, "unknown operator ", target);
  ArgReader reader(args, result.expected.size());
  std::unique_ptr<Op> op = factory(reader);
  reader.finish();

  std::vector<Value*> operands;
  std::vector<Shape> shapes;
  for (const std::string& name : reader.tensor_names()) {
    operands.push_back(result.graph.find(name));
    const auto index = static_cast<size_t>(std::stoi(name.substr(std::string("input").size())));
    shapes.push_back(description.at("inputs")[index].at("shape").get<Shape>());
  }
  std::vector<std::string> names;
  for (size_t i = 0; i < op->infer_shapes(shapes, {}).size(); ++i) {
    names.push_back("output" + std::to_string(i));
  }
  Node* node = result.graph.add_node("node", std::move(op), operands, names);
  for (size_t i = 0; i < result.expected.size(); ++i) {
    result.graph.add_output(node->outputs.at(i));
  }
  set_shapes(result.graph);
  return result;
}

/// |actual - expected| <= bound, where NaN equals NaN and infinities equal themselves.
void check(const std::vector<Array>& actual, const std::vector<Array>& expected, double relative,
           double magnitude) {
  REQUIRE(actual.size() == expected.size());
  for (size_t i = 0; i < actual.size(); ++i) {
    REQUIRE(actual[i].shape == expected[i].shape);
    double largest = magnitude;
    for (double y : expected[i].data) {
      if (std::isfinite(y)) largest = std::max(largest, std::fabs(y));
    }
    for (size_t k = 0; k < actual[i].data.size(); ++k) {
      const double x = actual[i].data[k], y = expected[i].data[k];
      const bool same = std::isnan(y)   ? std::isnan(x)
                        : std::isinf(y) ? x == y
                                        : std::fabs(x - y) <= relative * largest;
      if (same) continue;
      INFO("output " << i << " element " << k << ": found " << x << ", expected " << y);
      CHECK(same);
      return;
    }
  }
}

std::vector<std::filesystem::path> golden_files() {
  std::vector<std::filesystem::path> files;
  for (const auto& entry : std::filesystem::directory_iterator(PLICA_SOURCE_DIR "/tests/golden")) {
    if (entry.path().extension() == ".json") files.push_back(entry.path());
  }
  std::sort(files.begin(), files.end());
  return files;
}

TEST_CASE("operators give what PyTorch gives", "[golden]") {
  const auto files = golden_files();
  REQUIRE(!files.empty());
  for (const auto& file : files) {
    DYNAMIC_SECTION(file.stem().string()) {
      std::ifstream stream(file);
      for (const json& description : json::parse(stream)) {
        INFO(description.at("name") << ", " << description.at("target"));
        try {
          const Case golden = read_case(description);
          check(evaluate(golden.graph, golden.inputs), golden.expected, 1e-12, 0);
          const double length = description.value("length", 1.0);
          const double magnitude = description.value("magnitude", 0.0);
          check(test::run_planned(golden.graph, golden.inputs), golden.expected,
                (8 + length) * std::ldexp(1.0, -24), magnitude);
        } catch (const Error& error) {
          FAIL_CHECK(error.what());
        }
      }
    }
  }
}

}  // namespace
}  // namespace plica
