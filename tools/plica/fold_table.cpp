#include "tools/plica/fold_table.h"

#include <deque>
#include <set>

#include "tools/plica/format.h"
#include "tools/plica/oracle.h"

namespace plica::cli {
namespace {

using Outcome = FoldEntry::Outcome;

const char* phrase(Outcome outcome) {
  switch (outcome) {
    case Outcome::kProducer:
      return "folded into the operator before";
    case Outcome::kConsumer:
      return "folded into the operator behind";
    case Outcome::kMerged:
      return "merged with another";
    case Outcome::kEpilogue:
      return "computed by the operator before";
    case Outcome::kKernel:
      return "computed by a kernel of its own";
    case Outcome::kConstant:
      return "constant";
    case Outcome::kUnused:
      return "unused";
    case Outcome::kKept:
      return "kept";
  }
  return "";
}

/// `value` or the nearest value that depends on it and that the engine still computes.
const Value* first_survivor(const Value* value, const EngineValues& engine) {
  std::deque<const Value*> queue{value};
  std::set<const Value*> seen{value};
  while (!queue.empty()) {
    const Value* next = queue.front();
    queue.pop_front();
    if (engine.find(next->name)) return next;
    for (const Node* user : next->users)
      for (const Value* output : user->outputs)
        if (seen.insert(output).second) queue.push_back(output);
  }
  return nullptr;
}

std::string range(const FoldEntry& entry) {
  return format_number(entry.scale_min) + " .. " + format_number(entry.scale_max);
}

}  // namespace

FoldErrors measure_folds(const ModelArgs& args, std::span<const NdArray> inputs) {
  LoadOptions options = args.load_options();
  options.fuse = false;
  const Model model = Model::load(args.path, options);
  const EngineValues engine(model, args.session_options(), inputs);
  const Graph& original = model.impl()->original();

  std::map<const Value*, std::vector<std::string>> measured_at;
  for (const FoldEntry& entry : model.fold_report().entries) {
    const Value* output = original.find(entry.output);
    const Value* survivor = output ? first_survivor(output, engine) : nullptr;
    if (survivor) measured_at[survivor].push_back(entry.output);
  }
  FoldErrors errors;
  run_oracle(original, inputs, [&](const Value& value, const Array& array) {
    const auto found = measured_at.find(&value);
    if (found == measured_at.end()) return;
    const Array& ours = *engine.find(value.name);
    const Difference difference = compare<double>(ours.data, array.data);
    for (const std::string& name : found->second)
      errors[name] = {difference.relative(), name == value.name ? "" : value.name};
  });
  return errors;
}

std::string fold_summary(const FoldReport& report) {
  std::map<Outcome, int> counts;
  for (const FoldEntry& entry : report.entries) ++counts[entry.outcome];
  const size_t total = report.entries.size();
  if (total == 0) return "no BatchNorm";
  std::string text = std::to_string(total) + (total == 1 ? " BatchNorm: " : " BatchNorms: ");
  bool first = true;
  for (const auto& [outcome, count] : counts) {
    if (!first) text += ", ";
    text += (counts.size() == 1 && total > 1 ? "all" : std::to_string(count)) + std::string(" ") +
            phrase(outcome);
    first = false;
  }
  return text;
}

void print_folds(std::ostream& out, const FoldReport& report, const FoldErrors* errors) {
  out << fold_summary(report) << '\n';
  if (report.entries.empty()) return;
  Table table({"name", ">channels", "outcome", "into", ">scale", ">error", "remark"});
  for (const FoldEntry& entry : report.entries) {
    std::string error, remark = entry.kind == "BatchNorm" ? "" : entry.kind;
    const auto append = [&](const std::string& text) {
      if (!text.empty()) remark += (remark.empty() ? "" : "; ") + text;
    };
    append(entry.reason);
    if (errors) {
      const auto found = errors->find(entry.output);
      error = found == errors->end() ? "-" : format_number(found->second.relative, 2);
      if (found != errors->end() && !found->second.at.empty())
        append("error measured at " + found->second.at);
    }
    table.add({printable(entry.name), format_count(entry.channels), to_string(entry.outcome),
               printable(entry.into), range(entry), error, printable(remark, 120)});
  }
  table.print(out, "  ");
}

nlohmann::json folds_to_json(const FoldReport& report, const FoldErrors* errors) {
  nlohmann::json list = nlohmann::json::array();
  for (const FoldEntry& entry : report.entries) {
    nlohmann::json item = {{"name", entry.name},
                           {"kind", entry.kind},
                           {"output", entry.output},
                           {"channels", entry.channels},
                           {"scale_min", entry.scale_min},
                           {"scale_max", entry.scale_max},
                           {"outcome", to_string(entry.outcome)},
                           {"into", entry.into},
                           {"reason", entry.reason}};
    if (errors) {
      const auto found = errors->find(entry.output);
      item["relative_error"] =
          found == errors->end() ? nlohmann::json() : nlohmann::json(found->second.relative);
      if (found != errors->end() && !found->second.at.empty())
        item["error_measured_at"] = found->second.at;
    }
    list.push_back(std::move(item));
  }
  return list;
}

}  // namespace plica::cli
