#pragma once

#include <map>
#include <string>
#include <vector>

#include "engine/graph/graph.h"
#include "plica/fold_report.h"

namespace plica {

/// The fold report while it is being written. Entries are known by their index; whoever answers for
/// one (a BatchNorm by the name of its output, a ChannelAffine by its `entries`) settles it.
class FoldLog {
 public:
  /// Opens an entry for every BatchNorm of `graph`.
  void open(const Graph& graph);

  /// An entry for arithmetic that starts at `first` and computes `output`.
  size_t add_hand_written(const Node& first, const Value& output, const Affine& affine);

  /// The entry of the BatchNorm that computes `output`.
  size_t entry_of(const Value& output) const;
  FoldEntry& entry(size_t index) { return report_.entries.at(index); }

  void set_scale(size_t index, const Affine& affine);
  void settle(const std::vector<size_t>& entries, FoldEntry::Outcome outcome,
              const std::string& into, const std::string& reason);

  /// The entries in the order of the graph as loaded.
  FoldReport finish();

 private:
  std::map<std::string, size_t, std::less<>> position_;  // of a value's producer, by its name
  std::map<const Op*, size_t> by_op_;
  FoldReport report_;
};

/// The report as text, one line for each entry.
std::string to_string(const FoldReport& report);

}  // namespace plica
