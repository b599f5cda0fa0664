#include "engine/passes/fold_log.h"

#include <algorithm>
#include <sstream>

#include "engine/ops/batch_norm.h"

namespace plica {
namespace {

std::string name_of(const Node& node) { return node.module.empty() ? node.name : node.module; }

}  // namespace

const char* to_string(FoldEntry::Outcome outcome) noexcept {
  switch (outcome) {
    case FoldEntry::Outcome::kProducer:
      return "producer";
    case FoldEntry::Outcome::kConsumer:
      return "consumer";
    case FoldEntry::Outcome::kMerged:
      return "merged";
    case FoldEntry::Outcome::kEpilogue:
      return "epilogue";
    case FoldEntry::Outcome::kKernel:
      return "kernel";
    case FoldEntry::Outcome::kConstant:
      return "constant";
    case FoldEntry::Outcome::kUnused:
      return "unused";
    case FoldEntry::Outcome::kKept:
      return "kept";
  }
  return "?";
}

void FoldLog::open(const Graph& graph) {
  size_t position = 0;
  for (const auto& node : graph.nodes()) {
    for (const Value* output : node->outputs) position_[output->name] = position;
    ++position;
    if (!dynamic_cast<const BatchNorm*>(node->op.get())) continue;
    FoldEntry entry;
    entry.name = name_of(*node);
    entry.kind = "BatchNorm";
    entry.output = node->outputs.at(0)->name;
    entry.channels = node->inputs.at(0)->shape.at(1);
    entry.outcome = FoldEntry::Outcome::kKept;
    by_op_[node->op.get()] = report_.entries.size();
    report_.entries.push_back(std::move(entry));
  }
}

size_t FoldLog::add_hand_written(const Node& first, const Value& output, const Affine& affine) {
  FoldEntry entry;
  entry.name = name_of(first);
  entry.kind = "hand-written";
  entry.output = output.name;
  entry.channels = affine.channels();
  entry.outcome = FoldEntry::Outcome::kKept;
  report_.entries.push_back(std::move(entry));
  set_scale(report_.entries.size() - 1, affine);
  return report_.entries.size() - 1;
}

size_t FoldLog::entry_of(const Value& output) const { return by_op_.at(output.producer->op.get()); }

void FoldLog::set_scale(size_t index, const Affine& affine) {
  if (affine.scale.empty()) return;
  const auto [min, max] = std::minmax_element(affine.scale.begin(), affine.scale.end());
  entry(index).scale_min = *min;
  entry(index).scale_max = *max;
}

void FoldLog::settle(const std::vector<size_t>& entries, FoldEntry::Outcome outcome,
                     const std::string& into, const std::string& reason) {
  for (size_t index : entries) {
    FoldEntry& settled = entry(index);
    settled.outcome = outcome;
    settled.into = into;
    settled.reason = reason;
  }
}

FoldReport FoldLog::finish() {
  const auto place = [&](const FoldEntry& entry) {
    const auto found = position_.find(entry.output);
    return found == position_.end() ? position_.size() : found->second;
  };
  std::stable_sort(report_.entries.begin(), report_.entries.end(),
                   [&](const FoldEntry& a, const FoldEntry& b) { return place(a) < place(b); });
  return std::move(report_);
}

std::string to_string(const FoldReport& report) {
  std::ostringstream out;
  for (const FoldEntry& entry : report.entries) {
    out << entry.name << " (" << entry.kind << ", " << entry.channels << " channels, scale "
        << entry.scale_min << " to " << entry.scale_max << "): " << to_string(entry.outcome);
    if (!entry.into.empty()) out << " " << entry.into;
    if (!entry.reason.empty()) out << "; " << entry.reason;
    out << "\n";
  }
  return out.str();
}

}  // namespace plica
