#include "tools/plica/cli.h"

#include <algorithm>
#include <catch2/catch_approx.hpp>
#include <catch2/catch_test_macros.hpp>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>
#include <vector>

#include "tools/plica/npy.h"

namespace plica::cli {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

const fs::path kModels = fs::path(PLICA_SOURCE_DIR) / "models/bundled";
const std::string kCircles = (kModels / "net_with_bn.pt2").string();
const fs::path kFashion = "/usr/share/datasets/fashion-mnist";

struct Result {
  int code;
  std::string out, err;
};

Result plica(std::vector<std::string> arguments) {
  arguments.insert(arguments.begin(), "plica");
  std::vector<const char*> argv;
  for (const std::string& argument : arguments) argv.push_back(argument.c_str());
  std::ostringstream out, err;
  Console console{out, err};
  const int code = run_program(static_cast<int>(argv.size()), argv.data(), console);
  return {code, out.str(), err.str()};
}

/// A folder that goes with the object.
class Folder {
 public:
  Folder() {
    std::string name = (fs::temp_directory_path() / "plica_cli_test_XXXXXX").string();
    REQUIRE(mkdtemp(name.data()) != nullptr);
    path_ = name;
  }
  ~Folder() { fs::remove_all(path_); }
  std::string operator/(const std::string& name) const { return (path_ / name).string(); }

 private:
  fs::path path_;
};

bool is_one_line(const std::string& text) {
  return !text.empty() && text.find('\n') == text.size() - 1;
}

bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

TEST_CASE("bad usage and bad input are one line and exit code 2", "[cli]") {
  const Folder folder;
  std::ofstream(folder / "text.pt2") << "hello";
  write_npy(folder / "x.npy", std::vector<int64_t>{1, 2}, std::vector<float>{1, 2});
  write_npy(folder / "wrong.npy", std::vector<int64_t>{1, 3}, std::vector<float>{1, 2, 3});
  for (const std::vector<std::string>& arguments : std::vector<std::vector<std::string>>{
           {},
           {"fly"},
           {"run"},
           {"run", kCircles},
           {"run", kCircles, "--wings"},
           {"run", folder / "none.pt2"},
           {"inspect", folder / "text.pt2"},
           {"inspect", kModels.string()},
           {"run", kCircles, "--input", folder / "none.npy"},
           {"run", kCircles, "--input", folder / "text.pt2"},
           {"run", kCircles, "--input", folder / "wrong.npy"},
           {"run", kCircles, "--input", folder / "wrong.npy", "--reference"},
           {"run", kCircles, "--input", folder / "x.npy", folder / "x.npy"},
           {"run", kCircles, "--input", "nobody=" + (folder / "x.npy")},
           {"run", kCircles, "--input", folder / "x.npy", "--output", "/nonexistent/y.npy"},
           {"run", kCircles, "--threads", "-1", "--input", folder / "x.npy"},
           {"verify", kCircles, "--input", folder / "x.npy", "--expect", folder / "wrong.npy"},
           {"convert", kCircles, "--output", folder / "y.onnx"},
           {"eval", kCircles, "--images", folder / "x.npy", "--labels", folder / "x.npy"},
           {"bench", kCircles, "--seconds", "0"},
           {"bench", kCircles, "--report", "-"},
           {"bench", kCircles, "--baseline", folder / ""}}) {
    const Result result = plica(arguments);
    INFO((arguments.empty() ? "" : arguments[0]) << ": " << result.out << result.err);
    CHECK(result.code == kBadInput);
    CHECK(is_one_line(result.err));
    CHECK(result.err.substr(0, 7) == "plica: ");
    CHECK(result.out.empty());
  }
}

TEST_CASE("help and version are successes", "[cli]") {
  for (const char* command : {"run", "verify", "inspect", "bench", "eval", "convert"}) {
    const Result result = plica({command, "--help"});
    CHECK(result.code == kSuccess);
    CHECK(contains(result.out, "MODEL"));
  }
  CHECK(contains(plica({"--help"}).out, "verify"));
  CHECK(contains(plica({"--version"}).out, "0."));
}

TEST_CASE("run writes outputs by position, by name and into a folder", "[cli]") {
  const Folder folder;
  const std::vector<float> points{0.5F, -0.25F, 1, 0, 0, 0};
  write_npy(folder / "x.npy", std::vector<int64_t>{3, 2}, points);
  const Result result = plica({"run", kCircles, "--input", folder / "x.npy", "--output",
                               folder / "y.npy", "--output-dir", folder / "new/dir"});
  INFO(result.err);
  REQUIRE(result.code == kSuccess);
  const NdArray output = read_npy(folder / "y.npy");
  CHECK(output.shape == std::vector<int64_t>{3, 2});
  CHECK(read_npy(folder / "new/dir/out0.npy").data == output.data);

  const json info = json::parse(plica({"inspect", kCircles, "--json"}).out);
  const std::string in = info["inputs"][0]["name"], out = info["outputs"][0]["name"];
  REQUIRE(plica({"run", kCircles, "--input", in + "=" + (folder / "x.npy"), "--output",
                 out + "=" + (folder / "z.npy")})
              .code == kSuccess);
  CHECK(read_npy(folder / "z.npy").data == output.data);

  REQUIRE(plica({"run", kCircles, "--reference", "--input", folder / "x.npy", "--output",
                 folder / "r.npy"})
              .code == kSuccess);
  const NdArray reference = read_npy(folder / "r.npy");
  float largest = 0;
  for (const float value : reference.data) largest = std::max(largest, std::abs(value));
  for (size_t i = 0; i < output.data.size(); ++i)
    CHECK(std::abs(output.data[i] - reference.data[i]) <= 2e-6F * largest);
}

TEST_CASE("verify accepts what is right and names the node that is not", "[cli]") {
  const Folder folder;
  for (const char* name : {"net_with_bn", "net_without_bn", "my_model", "lenet_bn", "mlp_bn"}) {
    const std::string file = (kModels / (std::string(name) + ".pt2")).string();
    const Result result = plica({"verify", file, "--rtol", "2e-6"});
    INFO(result.out << result.err);
    CHECK(result.code == kSuccess);
  }
  write_npy(folder / "x.npy", std::vector<int64_t>{1, 2}, std::vector<float>{1, 2});
  REQUIRE(plica({"run", kCircles, "-i", folder / "x.npy", "-o", folder / "y.npy"}).code == 0);
  CHECK(plica({"verify", kCircles, "-i", folder / "x.npy", "--expect", folder / "y.npy"}).code ==
        kSuccess);
  write_npy(folder / "bad.npy", std::vector<int64_t>{1, 2}, std::vector<float>{9, 9});
  const Result wrong =
      plica({"verify", kCircles, "-i", folder / "x.npy", "--expect", folder / "bad.npy"});
  CHECK(wrong.code == kCheckFailed);
  CHECK(contains(wrong.out, "DIFFERS"));
  CHECK(contains(wrong.out, "Every node agrees"));
  // With no tolerance at all, rounding itself diverges, and has a first node.
  const Result strict = plica({"verify", kCircles, "--rtol", "0", "--atol", "0", "--batch", "16"});
  CHECK(strict.code == kCheckFailed);
  CHECK(contains(strict.out, "first node that diverges"));
  const json parsed = json::parse(plica({"verify", kCircles, "--json"}).out);
  CHECK(parsed["ok"] == true);
}

TEST_CASE("inspect shows shapes, parameters, statistics, folds and plan", "[cli]") {
  const json info =
      json::parse(plica({"inspect", kCircles, "--json", "--folds", "--plan", "--graph"}).out);
  // 2-64-32-2 with weights and biases, two BatchNorms with gamma, beta, mean and variance.
  int64_t parameters = 0;
  for (const json& node : info["nodes"]) parameters += node["parameters"].get<int64_t>();
  CHECK(parameters == 2 * 64 + 64 + 64 * 32 + 32 + 32 * 2 + 2 + 4 * (64 + 32));
  REQUIRE(info["batch_norms"].size() == 2);
  for (const json& norm : info["batch_norms"]) {
    CHECK(norm["running_var"][0].get<double>() > 0);
    CHECK(norm["gamma"].size() == 2);
    CHECK(norm["eps"] == 1e-5);
  }
  CHECK(info["batch_norms"][0]["channels"] == 64);
  REQUIRE(info["folds"].size() == 2);
  for (const json& fold : info["folds"]) {
    CHECK(fold["outcome"] == "producer");
    CHECK(fold["relative_error"].get<double>() < 2e-6);
  }
  CHECK(!info["plan"]["steps"].empty());

  const Result text = plica({"inspect", kCircles});
  CHECK(contains(text.out, "running variance"));
  CHECK(contains(text.out, "2 BatchNorms"));
  CHECK(plica({"inspect", kCircles, "--plan", "--graph", "--folds"}).code == kSuccess);
}

TEST_CASE("convert writes a plan that later runs use", "[cli]") {
  const Folder folder;
  const std::string source = (kModels / "lenet_bn.pt2").string(), plan = folder / "lenet.plan";
  const Result result = plica({"convert", source, "--output", plan});
  INFO(result.err);
  REQUIRE(result.code == kSuccess);
  CHECK(result.out.find("lenet.plan") != std::string::npos);
  const auto run = [&](const std::vector<std::string>& more) {
    std::vector<std::string> args{"verify", source, "--batch", "3", "--json"};
    args.insert(args.end(), more.begin(), more.end());
    return plica(args);
  };
  CHECK(run({"--saved-plan", plan}).out == run({}).out);
  const Result missing = run({"--saved-plan", folder / "no.plan"});
  CHECK(missing.code == kBadInput);
  CHECK(missing.err.find("no.plan") != std::string::npos);
}

TEST_CASE("convert writes models that compute the same bits", "[cli]") {
  const Folder folder;
  for (const char* model : {"net_with_bn.pt2", "lenet_bn.pt2"})
    for (const char* target : {"m.json", "m.safetensors"}) {
      const std::string source = (kModels / model).string();
      const Result result = plica({"convert", source, "--output", folder / target});
      INFO(result.err);
      REQUIRE(result.code == kSuccess);
      const json info = json::parse(plica({"inspect", source, "--json"}).out);
      std::vector<int64_t> shape{2};
      for (size_t i = 1; i < info["inputs"][0]["shape"].size(); ++i)
        shape.push_back(info["inputs"][0]["shape"][i]);
      std::vector<float> data(static_cast<size_t>(count_elements(shape)));
      for (size_t i = 0; i < data.size(); ++i) data[i] = static_cast<float>(i % 7) / 7;
      write_npy(folder / "x.npy", shape, data);
      REQUIRE(plica({"run", source, "-i", folder / "x.npy", "-o", folder / "a.npy"}).code == 0);
      REQUIRE(
          plica({"run", folder / target, "-i", folder / "x.npy", "-o", folder / "b.npy"}).code ==
          0);
      CHECK(read_npy(folder / "a.npy").data == read_npy(folder / "b.npy").data);
    }
}

TEST_CASE("eval counts what PyTorch counted", "[cli]") {
  if (!fs::exists(kFashion)) SKIP("needs FashionMNIST (package dataset-fashion-mnist)");
  std::ifstream file(kModels / "records.json");
  const json records = json::parse(file);
  for (const auto& [name, record] : records.items()) {
    if (record["data"]["set"] != "FashionMNIST") continue;
    const Result result =
        plica({"eval", (kModels / record["file"].get<std::string>()).string(), "--images",
               (kFashion / "t10k-images-idx3-ubyte.gz").string(), "--labels",
               (kFashion / "t10k-labels-idx1-ubyte.gz").string(), "--expect-correct",
               std::to_string(record["correct"].get<int>()), "--json"});
    INFO(name << result.err);
    CHECK(result.code == kSuccess);
    const json parsed = json::parse(result.out);
    CHECK(parsed["correct"] == record["correct"]);
    CHECK(parsed["same_answers_in_batches"] == true);
  }
}

TEST_CASE("bundled models give the same bits with any number of threads", "[cli][threads]") {
  const Folder folder;
  std::vector<float> images(4 * 28 * 28);
  for (size_t i = 0; i < images.size(); ++i) images[i] = static_cast<float>(i * 7 % 255) / 255;
  write_npy(folder / "x.npy", std::vector<int64_t>{4, 1, 28, 28}, images);
  const std::string lenet = (kModels / "lenet_bn.pt2").string();
  std::vector<float> first;
  for (const char* threads : {"1", "2", "3"}) {
    const Result result =
        plica({"run", lenet, "--threads", threads, "-i", folder / "x.npy", "-o", folder / "y.npy"});
    INFO(result.err);
    REQUIRE(result.code == kSuccess);
    const std::vector<float> output = read_npy(folder / "y.npy").data;
    if (first.empty()) first = output;
    CHECK(output == first);
  }
}

TEST_CASE("bench reports every figure", "[cli]") {
  const Folder folder;
  const Result result = plica({"bench", kCircles, "--seconds", "0.05", "--batch", "2", "--json",
                               folder / "b.json", "--report", folder / "b.html"});
  INFO(result.err);
  REQUIRE(result.code == kSuccess);
  for (const char* part : {"p50", "p99.9", "samples/s", "cold start", "arena"})
    CHECK(contains(result.out, part));
  std::ifstream file(folder / "b.json");
  const json parsed = json::parse(file);
  CHECK(parsed["input_shapes"][0] == json{2, 2});
  CHECK(!parsed["steps"].empty());
  for (const char* name : {"p50", "p90", "p99", "p99.9"}) {
    const json& bounds = parsed["confidence_95_seconds"][name];
    const double value = parsed["latency_seconds"][name];
    CHECK(bounds[0] <= value);
    CHECK((bounds[1].is_null() || bounds[1] >= value));
  }
  double share = 0;
  for (const json& step : parsed["steps"]) {
    share += step["share"].get<double>();
    for (const char* key : {"flops_per_second", "activation_bytes", "weight_bytes", "threads_busy"})
      CHECK(step[key].get<double>() > 0);
  }
  CHECK(share == Catch::Approx(1));
  CHECK(fs::file_size(folder / "b.html") > 500);
}

TEST_CASE("bench knows when each thread was at work", "[cli]") {
  const Result result = plica({"bench", (kModels / "lenet_bn.pt2").string(), "--batch", "64",
                               "--threads", "2", "--seconds", "0.05", "--json", "-"});
  INFO(result.err);
  REQUIRE(result.code == kSuccess);
  const json parsed = json::parse(result.out);
  REQUIRE(parsed["timeline"].size() == parsed["steps"].size());
  // Nanoseconds became fractions of a second.
  constexpr double kRounding = 1e-12;
  std::vector<double> free_from(parsed["threads"].get<size_t>(), 0);
  for (size_t i = 0; i < parsed["timeline"].size(); ++i) {
    const json& step = parsed["timeline"][i];
    CHECK(step["step"] == i);
    const double start = step["start"], end = start + step["seconds"].get<double>();
    CHECK(!step["work"].empty());
    for (const json& work : step["work"]) {
      double& free = free_from.at(work[0].get<size_t>());
      const double from = work[1], to = from + work[2].get<double>();
      CHECK(from >= std::max(start, free) - kRounding);
      CHECK(to <= end + kRounding);
      free = to;
    }
  }
}

TEST_CASE("bench traces steps and compares with a baseline", "[cli]") {
  const Folder folder;
  REQUIRE(plica({"bench", kCircles, "--seconds", "0.05", "--json", folder / "b.json", "--trace",
                 folder / "t.json"})
              .code == kSuccess);
  std::ifstream file(folder / "t.json");
  const json events = json::parse(file)["traceEvents"];
  const auto end = [](const json& event) {
    return event["ts"].get<double>() + event["dur"].get<double>();
  };
  size_t steps = 0;
  for (const json& step : events) {
    if (step["ph"] == "M") continue;
    CHECK(step["ph"] == "X");
    CHECK(step["dur"].get<double>() >= 0);
    if (step["cat"] != "step") continue;
    ++steps;
    // Some thread was at work on it, on a track of its own.
    CHECK(std::any_of(events.begin(), events.end(), [&](const json& work) {
      return work["ph"] == "X" && work["cat"] == "work" && work["tid"] > step["tid"] &&
             work["name"] == step["name"] && work["ts"] >= step["ts"] &&
             end(work) <= end(step) + 1e-3;
    }));
  }
  CHECK(steps > 0);
  // So large a tolerance passes however busy the machine is.
  const Result same = plica({"bench", kCircles, "--seconds", "0.05", "--baseline",
                             folder / "b.json", "--tolerance", "1000"});
  INFO(same.err);
  CHECK(same.code == kSuccess);
  CHECK(contains(same.out, "baseline"));
  // A baseline a thousand times as fast.
  json faster = json::parse(std::ifstream(folder / "b.json"));
  for (json& median : faster["block_medians"]) median = median.get<double>() / 1000;
  std::ofstream(folder / "fast.json") << faster;
  const Result slower =
      plica({"bench", kCircles, "--seconds", "0.05", "--baseline", folder / "fast.json"});
  INFO(slower.out);
  CHECK(slower.code == kCheckFailed);
  CHECK(contains(slower.out, "slower"));
  faster["input_shapes"] = {{3, 2}};
  std::ofstream(folder / "other.json") << faster;
  // Found out before an hour's measurement.
  for (const char* option : {"--baseline", "--json", "--report", "--trace"}) {
    const bool baseline = option == std::string("--baseline");
    const Result bad = plica({"bench", kCircles, "--seconds", "3600", option,
                              folder / (baseline ? "other.json" : "no/folder/file")});
    CHECK(bad.code == kBadInput);
    CHECK(is_one_line(bad.err));
  }
  CHECK(plica({"bench", kCircles, "--baseline", folder / "none.json"}).code == kBadInput);
  CHECK(plica({"bench", kCircles, "--seconds", "0.05", "--baseline", folder / "t.json"}).code ==
        kBadInput);
}

}  // namespace
}  // namespace plica::cli
