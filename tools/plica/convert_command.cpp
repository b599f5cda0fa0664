#include <CLI/CLI.hpp>

#include "engine/base/fail.h"
#include "engine/loader/build_graph.h"
#include "engine/loader/load.h"
#include "tools/plica/cli.h"
#include "tools/plica/format.h"
#include "tools/plica/model_args.h"

namespace plica::cli {
namespace {

class ConvertCommand : public Command {
 public:
  void declare(CLI::App& app) override {
    model_.declare(app);
    inputs_.declare_random(app);
    app.add_option("-o,--output", output_,
                   "The file to write: .json or .safetensors, or .plan for the packed weights")
        ->required()
        ->type_name("FILE");
    app.footer(
        "A .plan file makes later starts faster on machines with the same instruction set: it goes "
        "with MODEL,\nwhich is still needed (--saved-plan, LoadOptions::plan). It has the weights "
        "as "
        "--batch, --threads and the other\noptions want them; only .plan depends on these.");
  }

  int execute(Console& console) override {
    const std::string extension = output_.extension().string();
    if (extension == ".plan") return save_plan(console);
    require(extension == ".json" || extension == ".safetensors", ErrorCode::kUsage, "--output ",
            output_.string(), ": expected a name that ends in .json, .safetensors or .plan");
    // The model may be mapped from the very file that is about to be written.
    const Manifest manifest = read_manifest(model_.path, {.copy = true});
    try {
      build_graph(manifest);  // A file that could not be loaded again is not written.
    } catch (Error& error) {
      error.in_file(model_.path.string());
      throw;
    }
    write_manifest(manifest, output_);
    const auto size = static_cast<double>(std::filesystem::file_size(output_));
    console.out << "wrote " << output_.string() << " (" << format_bytes(size) << ", "
                << manifest.nodes.size() << " nodes, " << manifest.tensors.size() << " tensors)\n";
    const std::filesystem::path weights =
        std::filesystem::path(output_).replace_extension(".safetensors");
    if (extension == ".json" && std::filesystem::exists(weights))
      console.out << "its weights, if not inline, are in " << weights.string() << '\n';
    return kSuccess;
  }

 private:
  int save_plan(Console& console) const {
    const Model model = Model::load(model_.path, model_.load_options());
    Session session(model, model_.session_options());
    session.prepare(concrete_shapes(model.inputs(), inputs_.batch));
    model.save_plan(output_);
    const auto size = static_cast<double>(std::filesystem::file_size(output_));
    console.out << "wrote " << output_.string() << " (" << format_bytes(size) << ")\n";
    return kSuccess;
  }

  ModelArgs model_;
  InputArgs inputs_;
  std::filesystem::path output_;
};

}  // namespace

std::unique_ptr<Command> make_convert_command() { return std::make_unique<ConvertCommand>(); }

}  // namespace plica::cli
