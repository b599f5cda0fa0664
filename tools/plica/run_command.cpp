#include <CLI/CLI.hpp>
#include <algorithm>
#include <cmath>

#include "engine/base/fail.h"
#include "tools/plica/cli.h"
#include "tools/plica/format.h"
#include "tools/plica/model_args.h"
#include "tools/plica/oracle.h"

namespace plica::cli {
namespace {

std::vector<NdArray> run_reference(const Model& model, std::span<const NdArray> inputs) {
  std::vector<NdArray> outputs;
  for (const Array& array : run_oracle(model.impl()->original(), inputs))
    outputs.push_back({array.shape, {array.data.begin(), array.data.end()}});
  return outputs;
}

/// The first few elements.
std::string preview(const NdArray& array) {
  constexpr size_t kShown = 8;
  std::string text;
  for (size_t i = 0; i < std::min(kShown, array.data.size()); ++i)
    text += (i == 0 ? "" : "  ") + format_number(array.data[i], 5);
  return array.data.size() > kShown ? text + "  ..." : text;
}

class RunCommand : public Command {
 public:
  void declare(CLI::App& app) override {
    model_.declare(app);
    inputs_.declare_files(app);
    app.add_option("-o,--output", outputs_, "Files to write, by position, or as NAME=FILE")
        ->type_name("[NAME=]FILE");
    app.add_option("--output-dir", directory_, "Write out0.npy, out1.npy, ... into this folder")
        ->type_name("DIR");
    app.add_flag("--reference", reference_, "Compute with the float64 reference (slow)");
  }

  int execute(Console& console) override {
    const Model model = Model::load(model_.path, model_.load_options());
    const auto paths = assign_files(outputs_, model.outputs(), "--output");
    const std::vector<NdArray> arrays = read_arrays(inputs_.files, model.inputs(), "--input");
    std::vector<NdArray> results;
    if (reference_) {
      results = run_reference(model, arrays);
    } else {
      Session session(model, model_.session_options());
      results = run_session(session, arrays);
    }
    if (!directory_.empty()) std::filesystem::create_directories(directory_);
    Table table({"output", "shape", "file", "values"});
    for (size_t i = 0; i < results.size(); ++i) {
      std::vector<std::filesystem::path> files;
      if (!paths[i].empty()) files.push_back(paths[i]);
      if (!directory_.empty()) files.push_back(directory_ / ("out" + std::to_string(i) + ".npy"));
      for (const auto& file : files) write_npy(file, results[i].shape, results[i].data);
      table.add({printable(model.outputs()[i].name), plica::cli::describe(results[i].shape),
                 files.empty() ? "" : files[0].string(), preview(results[i])});
    }
    table.print(console.out);
    return kSuccess;
  }

 private:
  ModelArgs model_;
  InputArgs inputs_;
  std::vector<std::string> outputs_;
  std::filesystem::path directory_;
  bool reference_ = false;
};

}  // namespace

std::unique_ptr<Command> make_run_command() { return std::make_unique<RunCommand>(); }

}  // namespace plica::cli
