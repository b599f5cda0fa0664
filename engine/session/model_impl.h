#pragma once

#include <list>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "engine/graph/graph.h"
#include "engine/loader/manifest.h"
#include "engine/plan/plan.h"
#include "plica/model.h"

namespace plica {

/// What a Model shares: the graphs, the packed weights, and the plans made so far.
struct Model::Impl {
  Impl(std::string file, Manifest manifest, const LoadOptions& options);

  /// The graph as the file has it. Built when it is first asked for; thread-safe.
  const Graph& original() const;
  /// The graph after the passes.
  const Graph& optimized() const { return optimized_; }

  /// The plan for these shapes; made if none of the last few is for them. Thread-safe.
  std::shared_ptr<const Plan> plan(const std::vector<Shape>& input_shapes,
                                   const PlanOptions& options) const;
  /// The smallest input shapes that the model takes, no dimension below 1 if it need not be.
  std::vector<Shape> default_input_shapes() const;

  const std::string file;
  const LoadOptions options;
  std::vector<TensorInfo> inputs, outputs;
  FoldReport folds;
  std::vector<std::string> notes;
  PackCache& packed() const { return packed_; }

 private:
  struct CachedPlan {
    std::vector<Shape> shapes;
    PlanOptions options;
    std::shared_ptr<const Plan> plan;
  };
  /// Maps LoadOptions::plan.
  void use_saved_plan();
  /// Takes the weights' originals out of memory: plans have packed what they need.
  void release_files() const;

  const Manifest manifest_;
  Graph optimized_;
  mutable std::once_flag original_once_;
  mutable std::unique_ptr<Graph> original_;
  mutable PackCache packed_;
  mutable std::mutex plans_mutex_;
  mutable std::list<CachedPlan> plans_;  // most recently used first
};

}  // namespace plica
