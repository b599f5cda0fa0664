#include <CLI/CLI.hpp>
#include <algorithm>
#include <nlohmann/json.hpp>
#include <optional>

#include "engine/base/fail.h"
#include "tools/plica/cli.h"
#include "tools/plica/format.h"
#include "tools/plica/model_args.h"
#include "tools/plica/oracle.h"

namespace plica::cli {
namespace {

/// The first node, in the order of computation, whose value is too far from the reference's.
struct Divergence {
  std::string node;
  std::string value;
  Difference difference;
};

class VerifyCommand : public Command {
 public:
  void declare(CLI::App& app) override {
    model_.declare(app);
    inputs_.declare_files(app);
    inputs_.declare_random(app);
    app.add_option("--expect", expected_,
                   "Expected outputs (.npy), by position or as NAME=FILE; without this option "
                   "the float64 reference computes them")
        ->type_name("[NAME=]FILE");
    app.add_option("--rtol", rtol_,
                   "Tolerated error, as a fraction of the largest element: 3e-5 unless told, which "
                   "the default accuracy stays below, or 1e-5 with another --accuracy")
        ->check(CLI::NonNegativeNumber);
    app.add_option("--atol", atol_, "Tolerated error besides that")
        ->check(CLI::NonNegativeNumber)
        ->capture_default_str();
    app.add_flag("--json", json_, "Write the result as JSON");
    app.footer(
        "An output passes if max |found - expected| <= atol + rtol * max |expected|.\n"
        "Without --input, inputs are standard normal numbers (--batch, --seed).");
  }

  int execute(Console& console) override {
    const LoadOptions options = model_.load_options();
    if (!rtol_) rtol_ = options.accuracy == Accuracy::kDefault ? 3e-5 : 1e-5;
    const Model model = Model::load(model_.path, options);
    const std::vector<NdArray> arrays = inputs_.arrays(model.inputs());
    Session session(model, model_.session_options());
    const std::vector<NdArray> results = run_session(session, arrays);
    const std::vector<Array> expected = expectation(model, arrays);

    bool passed = true;
    Table table({"output", "shape", ">max error", ">relative", "result"});
    nlohmann::json list = nlohmann::json::array();
    for (size_t i = 0; i < expected.size(); ++i) {
      const NdArray& found = results[i];
      const std::string& name = model.outputs()[i].name;
      require(found.shape == expected[i].shape, ErrorCode::kUsage, "output '", name, "' has shape ",
              cli::describe(found.shape), ", but shape ", cli::describe(expected[i].shape),
              " is expected");
      const Difference difference = compare<float>(found.data, expected[i].data);
      const bool good = difference.within(*rtol_, atol_);
      passed &= good;
      table.add({printable(name), cli::describe(found.shape), format_number(difference.max_error),
                 format_number(difference.relative()), good ? "ok" : "DIFFERS"});
      list.push_back({{"name", name},
                      {"shape", found.shape},
                      {"max_error", difference.max_error},
                      {"relative_error", difference.relative()},
                      {"worst_index", difference.worst},
                      {"ok", good}});
    }
    std::vector<Divergence> divergence;
    if (!passed) divergence = find_divergence(model, arrays);
    if (json_) {
      nlohmann::json result = {{"ok", passed},
                               {"against", expected_.empty() ? "reference" : "expected"},
                               {"rtol", *rtol_},
                               {"atol", atol_},
                               {"outputs", list}};
      if (!divergence.empty())
        result["first_divergence"] = {{"node", divergence[0].node},
                                      {"value", divergence[0].value},
                                      {"relative_error", divergence[0].difference.relative()}};
      console.out << result.dump(2) << '\n';
      return passed ? kSuccess : kCheckFailed;
    }
    console.out << model_.path.filename().string() << ": the engine against "
                << (expected_.empty() ? "the float64 reference" : "the expected outputs") << '\n';
    table.print(console.out, "  ");
    if (!passed) explain(console, divergence);
    return passed ? kSuccess : kCheckFailed;
  }

 private:
  std::vector<Array> expectation(const Model& model, std::span<const NdArray> arrays) const {
    if (expected_.empty()) return run_oracle(model.impl()->original(), arrays);
    std::vector<Array> result;
    for (const NdArray& array : read_arrays(expected_, model.outputs(), "--expect"))
      result.push_back({array.shape, {array.data.begin(), array.data.end()}});
    return result;
  }

  /// Empty, or one element.
  std::vector<Divergence> find_divergence(const Model& model,
                                          std::span<const NdArray> arrays) const {
    const EngineValues engine(model, model_.session_options(), arrays);
    std::vector<Divergence> found;
    run_oracle(model.impl()->original(), arrays, [&](const Value& value, const Array& array) {
      const Array* ours = engine.find(value.name);
      if (!found.empty() || !ours || !value.producer || ours->shape != array.shape) return;
      const Difference difference = compare<double>(ours->data, array.data);
      if (!difference.within(*rtol_, atol_))
        found.push_back({value.producer->label(), value.name, difference});
    });
    return found;
  }

  void explain(Console& console, const std::vector<Divergence>& divergence) const {
    if (divergence.empty()) {
      console.out << "Every node agrees with the float64 reference: the expected outputs belong to "
                     "other weights, another input or another mode (train instead of eval?)\n";
      return;
    }
    const Divergence& first = divergence[0];
    console.out << "first node that diverges from the float64 reference: " << printable(first.node)
                << " (relative error " << format_number(first.difference.relative())
                << " at element " << first.difference.worst << " of '" << printable(first.value)
                << "')\n";
  }

  ModelArgs model_;
  InputArgs inputs_;
  std::vector<std::string> expected_;
  std::optional<double> rtol_;
  double atol_ = 1e-8;
  bool json_ = false;
};

}  // namespace

std::unique_ptr<Command> make_verify_command() { return std::make_unique<VerifyCommand>(); }

}  // namespace plica::cli
