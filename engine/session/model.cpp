#include "plica/model.h"

#include <algorithm>
#include <utility>

#include "engine/base/fail.h"
#include "engine/graph/reference.h"
#include "engine/loader/build_graph.h"
#include "engine/loader/load.h"
#include "engine/onednn/onednn_conv.h"
#include "engine/passes/pipeline.h"
#include "engine/session/model_impl.h"
#include "engine/session/saved_plan.h"
#include "plica/version.h"

namespace plica {
namespace {

/// Plans that a model remembers. Each holds steps and offsets but no weights: a few kilobytes.
constexpr size_t kMaxPlans = 16;

DimInfo dim_info(const Graph& graph, const Dim& dim) {
  if (dim.is_number()) return {dim.evaluate({}), dim.evaluate({}), ""};
  const auto found = graph.symbols.find(dim.symbol_name());
  if (found == graph.symbols.end()) return {0, SymbolRange{}.max, dim.to_string()};
  return {found->second.min, found->second.max, found->first};
}

std::vector<TensorInfo> input_info(const Graph& graph) {
  std::vector<TensorInfo> result;
  for (const GraphInput& input : graph.inputs()) {
    TensorInfo info{input.value->name, {}};
    for (const Dim& dim : input.dims) info.dims.push_back(dim_info(graph, dim));
    result.push_back(std::move(info));
  }
  return result;
}

std::vector<TensorInfo> output_info(const Graph& graph) {
  std::vector<TensorInfo> result;
  for (const Value* output : graph.outputs()) {
    TensorInfo info{output->name, {}};
    for (const int64_t dim : output->shape) {
      if (dim == kDynamic)
        info.dims.push_back({0, SymbolRange{}.max, "dynamic"});
      else
        info.dims.push_back({dim, dim, ""});
    }
    result.push_back(std::move(info));
  }
  return result;
}

}  // namespace

Model::Impl::Impl(std::string file_name, Manifest manifest, const LoadOptions& load_options)
    : file(std::move(file_name)),
      options(load_options),
      notes(manifest.notes),
      manifest_(std::move(manifest)),
      optimized_(build_graph(manifest_)),
      packed_([this] { release_files(); }) {
  inputs = input_info(optimized_);
  outputs = output_info(optimized_);
  for (const std::string& note : optimized_.notes) {
    if (std::find(notes.begin(), notes.end(), note) == notes.end()) notes.push_back(note);
  }
  folds = run_passes(optimized_, {options.fold, options.fuse});
  if (!options.plan.empty()) use_saved_plan();
}

void Model::Impl::use_saved_plan() {
  try {
    PackCache::Saved saved;
    const std::string why = SavedPlan::read(options.plan, options.copy, optimized_, saved);
    if (!why.empty()) {
      notes.push_back(concat(options.plan.string(), ": ", why, "; not used"));
      return;
    }
    packed_.use(std::move(saved));
  } catch (Error& error) {
    error.in_file(options.plan.string());
    throw;
  }
}

void Model::Impl::release_files() const {
  for (const auto& mapped : manifest_.files) mapped->release_pages();
}

const Graph& Model::Impl::original() const {
  std::call_once(original_once_,
                 [&] { original_ = std::make_unique<Graph>(build_graph(manifest_)); });
  return *original_;
}

std::vector<Shape> Model::Impl::default_input_shapes() const {
  Bindings smallest;
  for (const auto& [name, range] : optimized_.symbols) {
    smallest[name] = std::clamp<int64_t>(1, range.min, range.max);
  }
  std::vector<Shape> shapes;
  for (const GraphInput& input : optimized_.inputs()) {
    Shape shape;
    for (const Dim& dim : input.dims) shape.push_back(dim.evaluate(smallest));
    shapes.push_back(std::move(shape));
  }
  return shapes;
}

std::shared_ptr<const Plan> Model::Impl::plan(const std::vector<Shape>& input_shapes,
                                              const PlanOptions& plan_options) const {
  const std::lock_guard lock(plans_mutex_);
  const auto found = std::find_if(plans_.begin(), plans_.end(), [&](const CachedPlan& cached) {
    return cached.shapes == input_shapes && cached.options == plan_options;
  });
  if (found != plans_.end()) {
    plans_.splice(plans_.begin(), plans_, found);
    return plans_.front().plan;
  }
  try {
    auto plan =
        std::make_shared<const Plan>(make_plan(optimized_, input_shapes, packed_, plan_options));
    release_files();
    plans_.push_front({input_shapes, plan_options, std::move(plan)});
  } catch (Error& error) {
    error.in_file(file);
    throw;
  }
  if (plans_.size() > kMaxPlans) plans_.pop_back();
  return plans_.front().plan;
}

Model::Model(std::shared_ptr<const Impl> impl) : impl_(std::move(impl)) {}

Model Model::load(const std::filesystem::path& path, const LoadOptions& options) {
  require(!options.onednn || OnednnConv::available(), ErrorCode::kUsage,
          "LoadOptions::onednn (--onednn): this build of Plica is without oneDNN");
  try {
    Manifest manifest = read_manifest(path, {options.copy});
    return Model(std::make_shared<const Impl>(path.string(), std::move(manifest), options));
  } catch (Error& error) {
    error.in_file(path.string());
    throw;
  } catch (const std::bad_alloc&) {
    throw Error(ErrorCode::kIo, "not enough memory to load the model").in_file(path.string());
  }
}

void Model::save_plan(const std::filesystem::path& path) const {
  require(!impl_->packed().save().empty(), ErrorCode::kUsage,
          "save_plan: no session of this model has packed weights yet");
  try {
    SavedPlan::write(path, impl_->packed(), impl_->optimized());
  } catch (Error& error) {
    error.in_file(path.string());
    throw;
  }
}

std::span<const TensorInfo> Model::inputs() const noexcept { return impl_->inputs; }
std::span<const TensorInfo> Model::outputs() const noexcept { return impl_->outputs; }
const FoldReport& Model::fold_report() const noexcept { return impl_->folds; }
std::span<const std::string> Model::notes() const noexcept { return impl_->notes; }

const char* version() noexcept { return PLICA_VERSION_STRING; }

}  // namespace plica
