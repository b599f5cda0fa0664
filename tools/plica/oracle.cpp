#include "tools/plica/oracle.h"

#include <cmath>
#include <limits>

#include "tools/plica/model_args.h"

namespace plica::cli {

std::vector<Array> run_oracle(const Graph& graph, std::span<const NdArray> inputs,
                              const std::function<void(const Value&, const Array&)>& observe) {
  std::vector<Array> arrays;
  for (const NdArray& input : inputs)
    arrays.push_back({input.shape, std::vector<double>(input.data.begin(), input.data.end())});
  return evaluate(graph, arrays, observe);
}

template <typename T>
Difference compare(std::span<const T> found, std::span<const double> expected) {
  Difference result;
  for (size_t i = 0; i < expected.size(); ++i) {
    const auto a = static_cast<double>(found[i]);
    const double b = expected[i];
    if (std::isfinite(b)) result.max_expected = std::max(result.max_expected, std::abs(b));
    if (a == b || (std::isnan(a) && std::isnan(b))) continue;
    const double difference = std::abs(a - b);
    const double error =
        std::isfinite(difference) ? difference : std::numeric_limits<double>::infinity();
    if (error <= result.max_error) continue;
    result.max_error = error;
    result.worst = static_cast<int64_t>(i);
  }
  return result;
}

template Difference compare<float>(std::span<const float>, std::span<const double>);
template Difference compare<double>(std::span<const double>, std::span<const double>);

EngineValues::EngineValues(const Model& model, const SessionOptions& options,
                           std::span<const NdArray> inputs) {
  Session::Impl session(model.impl(), options, /*keep_values=*/true);
  std::vector<Shape> shapes;
  for (const NdArray& input : inputs) shapes.push_back(input.shape);
  session.prepare(shapes);
  std::vector<NdArray> outputs;
  std::vector<Tensor> targets;
  for (const Shape& shape : session.plan().output_shapes)
    outputs.push_back({shape, std::vector<float>(static_cast<size_t>(element_count(shape)))});
  for (NdArray& output : outputs) targets.emplace_back(output.data.data(), output.shape);
  session.run(views(inputs), targets);
  const Graph& graph = model.impl()->optimized();
  for (const auto& value : graph.values())
    if (auto array = session.value(value->name)) values_[value->name] = std::move(*array);
  for (size_t i = 0; i < outputs.size(); ++i)
    values_[graph.outputs()[i]->name] = {outputs[i].shape,
                                         {outputs[i].data.begin(), outputs[i].data.end()}};
}

const Array* EngineValues::find(const std::string& name) const {
  const auto found = values_.find(name);
  return found == values_.end() ? nullptr : &found->second;
}

}  // namespace plica::cli
