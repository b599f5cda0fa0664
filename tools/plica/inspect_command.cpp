#include <CLI/CLI.hpp>
#include <algorithm>
#include <nlohmann/json.hpp>
#include <set>

#include "engine/base/fail.h"
#include "engine/loader/load.h"
#include "engine/session/session_impl.h"
#include "tools/plica/cli.h"
#include "tools/plica/fold_table.h"
#include "tools/plica/format.h"
#include "tools/plica/model_args.h"

namespace plica::cli {
namespace {

/// A node of the graph as the file has it.
struct NodeRow {
  std::string name, module, op, attributes, shape;
  int64_t parameters = 0;  ///< Elements of its weights that no node above has as well.
  int64_t flops = 0;
};

/// Smallest and largest element of a tensor, if there is one.
struct Range {
  bool known = false;
  double min = 0, max = 0;
  std::string text() const {
    return known ? format_number(min) + " .. " + format_number(max) : "-";
  }
  nlohmann::json json() const { return known ? nlohmann::json{min, max} : nlohmann::json(); }
};

struct BatchNormRow {
  std::string name;
  int64_t channels = 0;
  Range gamma, beta, mean, var;
  double eps = 0;
};

Range range_of(const Manifest& manifest, const Args& args, std::string_view name) {
  const auto arg = args.find(name);
  const auto* ref = arg == args.end() ? nullptr : std::get_if<TensorRef>(&arg->second);
  if (!ref) return {};
  const auto tensor =
      std::find_if(manifest.tensors.begin(), manifest.tensors.end(),
                   [&](const Manifest::Tensor& candidate) { return candidate.name == ref->name; });
  if (tensor == manifest.tensors.end()) return {};
  const std::vector<double> values = tensor->constant.to_doubles();
  if (values.empty()) return {};
  const auto [low, high] = std::minmax_element(values.begin(), values.end());
  return {true, *low, *high};
}

std::vector<BatchNormRow> batch_norms(const Manifest& manifest, const Graph& graph) {
  std::vector<BatchNormRow> rows;
  for (const Manifest::Node& node : manifest.nodes) {
    if (node.target.find("batch_norm") == std::string::npos) continue;
    BatchNormRow row;
    row.name = node.module.empty() ? node.name : node.module;
    row.gamma = range_of(manifest, node.args, "weight");
    row.beta = range_of(manifest, node.args, "bias");
    row.mean = range_of(manifest, node.args, "running_mean");
    row.var = range_of(manifest, node.args, "running_var");
    if (const auto eps = node.args.find("eps"); eps != node.args.end())
      if (const auto* value = std::get_if<double>(&eps->second)) row.eps = *value;
    const Value* output = node.outputs.empty() ? nullptr : graph.find(node.outputs[0]);
    if (output && output->rank() >= 2) row.channels = output->shape[1];
    rows.push_back(std::move(row));
  }
  return rows;
}

std::vector<NodeRow> node_rows(const Graph& graph, const std::vector<Shape>& input_shapes) {
  const auto shapes = infer_shapes(graph, bind_symbols(graph, input_shapes));
  std::set<const Value*> counted;
  std::vector<NodeRow> rows;
  for (const auto& node : graph.nodes()) {
    NodeRow row{node->name, node->module, std::string(node->op->name()), node->op->describe(), ""};
    std::vector<Shape> in, out;
    for (const Value* input : node->inputs) {
      in.push_back(shapes.at(input));
      if (input->is_constant() && counted.insert(input).second)
        row.parameters += input->constant->count();
    }
    for (const Value* output : node->outputs) {
      out.push_back(shapes.at(output));
      row.shape += (row.shape.empty() ? "" : ", ") + to_string(output->shape);
    }
    row.flops = node->op->flops(in, out);
    rows.push_back(std::move(row));
  }
  return rows;
}

class InspectCommand : public Command {
 public:
  void declare(CLI::App& app) override {
    model_.declare(app);
    inputs_.declare_random(app);
    app.add_flag("--folds", folds_,
                 "What became of every BatchNorm, with its measured error on random input");
    app.add_flag("--plan", plan_, "Kernels and memory of the plan");
    app.add_flag("--graph", graph_, "The graph as loaded and as optimised");
    app.add_flag("--json", json_, "Write everything that is asked for as JSON");
    app.footer(
        "Without --folds, --plan or --graph: every node with output shape, parameters and "
        "FLOPs, and the statistics of every BatchNorm.");
  }

  int execute(Console& console) override {
    const Model model = Model::load(model_.path, model_.load_options());
    const Manifest manifest = read_manifest(model_.path, {.copy = model_.copy});
    const Graph& original = model.impl()->original();
    const std::vector<Shape> shapes = concrete_shapes(model.inputs(), inputs_.batch);
    const std::vector<NodeRow> nodes = node_rows(original, shapes);
    const std::vector<BatchNormRow> norms = batch_norms(manifest, original);
    FoldErrors errors;
    if (folds_)
      errors = measure_folds(model_, random_arrays(model.inputs(), inputs_.batch, inputs_.seed));
    std::unique_ptr<Session::Impl> session;
    if (plan_) {
      session = std::make_unique<Session::Impl>(model.impl(), model_.session_options());
      session->prepare(shapes);
    }
    if (json_) {
      write_json(console, model, nodes, norms, folds_ ? &errors : nullptr, session.get());
      return kSuccess;
    }
    print_header(console, model, nodes, shapes);
    if (!folds_ && !plan_ && !graph_) {
      print_nodes(console, nodes);
      print_norms(console, norms);
      console.out << "\nBatchNorm folding: " << fold_summary(model.fold_report())
                  << " (details: --folds; kernels: --plan)\n";
    }
    if (folds_) {
      console.out << '\n';
      print_folds(console.out, model.fold_report(), &errors);
    }
    if (graph_)
      console.out << "\nGraph as loaded:\n"
                  << original.print() << "\nGraph after the passes:\n"
                  << model.impl()->optimized().print();
    if (session) print_plan(console, session->plan(), session->threads);
    return kSuccess;
  }

 private:
  void print_header(Console& console, const Model& model, const std::vector<NodeRow>& nodes,
                    const std::vector<Shape>& shapes) const {
    int64_t parameters = 0, flops = 0;
    for (const NodeRow& node : nodes) parameters += node.parameters, flops += node.flops;
    console.out << model_.path.filename().string() << '\n';
    for (const TensorInfo& input : model.inputs())
      console.out << "  input   " << cli::describe(input) << range_note(input) << '\n';
    for (const TensorInfo& output : model.outputs())
      console.out << "  output  " << cli::describe(output) << '\n';
    console.out << "  " << nodes.size() << " nodes, " << format_count(parameters)
                << " parameters and statistics, " << format_count(flops) << " FLOPs";
    if (!shapes.empty()) console.out << " for " << cli::describe(shapes[0]);
    console.out << '\n';
    for (const std::string& note : model.notes())
      console.out << "  note: " << printable(note, 300) << '\n';
  }

  static std::string range_note(const TensorInfo& info) {
    for (const DimInfo& dim : info.dims) {
      if (dim.is_fixed()) continue;
      const bool open = dim.max > (int64_t{1} << 40);
      return ", N from " + std::to_string(dim.min) +
             (open ? " on" : " to " + std::to_string(dim.max));
    }
    return "";
  }

  static void print_nodes(Console& console, const std::vector<NodeRow>& nodes) {
    Table table({"node", "module", "operator", "output", ">parameters", ">FLOPs", "attributes"});
    for (const NodeRow& node : nodes)
      table.add({printable(node.name, 40), printable(node.module, 40), node.op, node.shape,
                 node.parameters ? format_count(node.parameters) : "",
                 node.flops ? format_count(node.flops) : "", printable(node.attributes, 80)});
    console.out << '\n';
    table.print(console.out);
  }

  static void print_norms(Console& console, const std::vector<BatchNormRow>& norms) {
    if (norms.empty()) return;
    Table table({"BatchNorm", ">channels", ">gamma", ">beta", ">running mean", ">running variance",
                 ">eps"});
    for (const BatchNormRow& norm : norms)
      table.add({printable(norm.name), format_count(norm.channels), norm.gamma.text(),
                 norm.beta.text(), norm.mean.text(), norm.var.text(), format_number(norm.eps)});
    console.out << '\n';
    table.print(console.out);
  }

  static void print_plan(Console& console, const Plan& plan, int threads) {
    Table table({">step", "node", "kernel", "output", ">FLOPs", ">activations"});
    for (size_t i = 0; i < plan.steps.size(); ++i) {
      const Step& step = plan.steps[i];
      table.add({std::to_string(i), printable(step.node), step.kernel_name,
                 to_string(step.output_shape), format_count(step.flops),
                 format_bytes(static_cast<double>(step.bytes))});
    }
    console.out << '\n';
    table.print(console.out);
    console.out << "\narena " << format_bytes(static_cast<double>(plan.arena_bytes))
                << " (at least " << format_bytes(static_cast<double>(plan.arena_lower_bound))
                << " are alive at once), " << threads
                << (threads == 1 ? " thread\n" : " threads\n");
  }

  void write_json(Console& console, const Model& model, const std::vector<NodeRow>& nodes,
                  const std::vector<BatchNormRow>& norms, const FoldErrors* errors,
                  const Session::Impl* session) const {
    using nlohmann::json;
    const auto infos = [](std::span<const TensorInfo> tensors) {
      json list = json::array();
      for (const TensorInfo& info : tensors) {
        json dims = json::array();
        for (const DimInfo& dim : info.dims) {
          if (dim.is_fixed())
            dims.push_back(dim.min);
          else
            dims.push_back({{"symbol", dim.symbol}, {"min", dim.min}, {"max", dim.max}});
        }
        list.push_back({{"name", info.name}, {"shape", dims}});
      }
      return list;
    };
    json result = {{"inputs", infos(model.inputs())},
                   {"outputs", infos(model.outputs())},
                   {"notes", std::vector<std::string>(model.notes().begin(), model.notes().end())},
                   {"nodes", json::array()},
                   {"batch_norms", json::array()},
                   {"folds", folds_to_json(model.fold_report(), errors)}};
    for (const NodeRow& node : nodes)
      result["nodes"].push_back({{"name", node.name},
                                 {"module", node.module},
                                 {"operator", node.op},
                                 {"attributes", node.attributes},
                                 {"output", node.shape},
                                 {"parameters", node.parameters},
                                 {"flops", node.flops}});
    for (const BatchNormRow& norm : norms)
      result["batch_norms"].push_back({{"name", norm.name},
                                       {"channels", norm.channels},
                                       {"gamma", norm.gamma.json()},
                                       {"beta", norm.beta.json()},
                                       {"running_mean", norm.mean.json()},
                                       {"running_var", norm.var.json()},
                                       {"eps", norm.eps}});
    if (graph_)
      result["graph"] = {{"loaded", model.impl()->original().print()},
                         {"optimized", model.impl()->optimized().print()}};
    if (session) {
      json steps = json::array();
      for (const Step& step : session->plan().steps)
        steps.push_back({{"node", step.node},
                         {"kernel", step.kernel_name},
                         {"output", step.output_shape},
                         {"flops", step.flops},
                         {"bytes", step.bytes}});
      result["plan"] = {{"steps", steps},
                        {"arena_bytes", session->plan().arena_bytes},
                        {"arena_lower_bound", session->plan().arena_lower_bound},
                        {"threads", session->threads}};
    }
    console.out << result.dump(2, ' ', false, json::error_handler_t::replace) << '\n';
  }

  ModelArgs model_;
  InputArgs inputs_;
  bool folds_ = false, plan_ = false, graph_ = false, json_ = false;
};

}  // namespace

std::unique_ptr<Command> make_inspect_command() { return std::make_unique<InspectCommand>(); }

}  // namespace plica::cli
