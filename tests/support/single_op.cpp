#include "tests/support/single_op.h"

#include <algorithm>
#include <optional>

#include "engine/base/fail.h"

namespace plica::testing {
namespace {

template <typename Fn>
void each_offset(const TensorDesc& desc, Fn fn) {
  const int64_t count = element_count(desc.shape);
  for (int64_t i = 0; i < count; ++i) {
    int64_t rest = i, offset = 0;
    for (int64_t axis = desc.rank() - 1; axis >= 0; --axis) {
      offset += rest % desc.shape[axis] * desc.strides[axis];
      rest /= desc.shape[axis];
    }
    fn(i, offset);
  }
}

class Builder final : public StepBuilder {
 public:
  Builder(const Node& node, std::vector<TensorDesc> inputs, std::vector<Shape> outputs)
      : descs(std::move(inputs)), output_shapes_(std::move(outputs)), node_(node) {
    outs.resize(output_shapes_.size());
    used.resize(descs.size());
  }
  const Node& node() const override { return node_; }
  const Bindings& bindings() const override { return bindings_; }
  bool use_onednn() const override { return false; }
  const Shape& input_shape(int i) const override { return descs.at(i).shape; }
  const TensorDesc& input_desc(int i) const override { return descs.at(i); }
  const Shape& output_shape(int i) const override { return output_shapes_.at(i); }
  TensorDesc use_input(int i, Layout layout) override {
    used[i] = true;
    if (!satisfies(descs.at(i), layout)) {
      descs[i] =
          layout == Layout::kRowMajor ? row_major(descs[i].shape) : channels_last(descs[i].shape);
    }
    return descs[i];
  }
  TensorDesc use_input_as(int i, const Strides& strides) override {
    used[i] = true;
    return descs.at(i) = {descs[i].shape, strides};
  }
  void set_output(int i, TensorDesc desc) override { outs.at(i) = std::move(desc); }
  int64_t set_output_pixels(int i) override {
    outs.at(i) = channels_last(output_shapes_.at(i));
    return output_shapes_.at(i).at(1);
  }
  void alias(int, int, TensorDesc, int64_t) override {
    fail(ErrorCode::kInternal, "a view has no kernel");
  }
  void allow_in_place(int) override {}
  void set_workspace(size_t bytes, size_t per_thread) override {
    workspace = bytes;
    workspace_per_thread = per_thread;
  }
  PackedWeights pack(const std::string&, size_t count,
                     const std::function<void(float*)>& fill) override {
    auto data = std::make_shared<AlignedBuffer>(std::max<size_t>(count, 1) * sizeof(float));
    fill(data->floats());
    return PackedWeights(data->floats(), data);
  }
  PackedWeights pack_later(const std::string& key, size_t count, int64_t pieces,
                           FillPiece fill) override {
    return pack(key, count, [&](float* packed) {
      std::vector<float> scratch;
      for (int64_t i = 0; i < pieces; ++i) fill(packed, i, scratch);
    });
  }
  void emit(std::unique_ptr<Kernel> k, std::string name) override {
    kernel = std::move(k);
    kernel_name = std::move(name);
  }

  std::vector<TensorDesc> descs;
  std::vector<bool> used;
  std::vector<std::optional<TensorDesc>> outs;
  size_t workspace = 0, workspace_per_thread = 0;
  std::unique_ptr<Kernel> kernel;
  std::string kernel_name;

 private:
  std::vector<Shape> output_shapes_;
  const Node& node_;
  Bindings bindings_;
};

}  // namespace

std::vector<float> gather(const TensorDesc& desc, const float* memory) {
  std::vector<float> values(static_cast<size_t>(element_count(desc.shape)));
  each_offset(desc, [&](int64_t i, int64_t offset) { values[i] = memory[offset]; });
  return values;
}

std::vector<float> scatter(const TensorDesc& desc, const std::vector<float>& values, float gap) {
  std::vector<float> memory(static_cast<size_t>(extent(desc)), gap);
  each_offset(desc, [&](int64_t i, int64_t offset) { memory[offset] = values.at(i); });
  return memory;
}

SingleOp::SingleOp(const std::string& target, const Args& args, std::vector<Shape> inputs,
                   size_t output_count)
    : input_shapes_(std::move(inputs)) {
  const OpFactory factory = OpRegistry::instance().find(target);
  require(factory != nullptr, ErrorCode::kUnsupported, "unknown operator ", target);
  ArgReader reader(args, output_count);
  std::unique_ptr<Op> op = factory(reader);
  reader.finish();
  std::vector<Value*> values;
  for (size_t i = 0; i < input_shapes_.size(); ++i) {
    values.push_back(graph_.add_input(
        std::to_string(i), std::vector<Dim>(input_shapes_[i].begin(), input_shapes_[i].end())));
  }
  std::vector<Value*> arguments;
  std::vector<Shape> shapes;
  for (const std::string& name : reader.tensor_names()) {
    order_.push_back(std::stoi(name));
    arguments.push_back(values.at(order_.back()));
    shapes.push_back(input_shapes_.at(order_.back()));
  }
  std::vector<std::string> names;
  for (size_t i = 0; i < output_count; ++i) names.push_back("out" + std::to_string(i));
  node_ = graph_.add_node("node", std::move(op), arguments, names);
  output_shapes_ = node_->op->infer_shapes(shapes, {});
  require(output_shapes_.size() == output_count, ErrorCode::kInvalid, "wrong number of outputs");
}

std::vector<Array> SingleOp::reference(const std::vector<std::vector<float>>& inputs) const {
  std::vector<Array> arrays;
  for (int index : order_) {
    arrays.push_back({input_shapes_[index], {inputs[index].begin(), inputs[index].end()}});
  }
  std::vector<const Array*> pointers;
  for (const Array& array : arrays) pointers.push_back(&array);
  std::vector<Array> outputs;
  for (const Shape& shape : output_shapes_) {
    outputs.push_back({shape, std::vector<double>(static_cast<size_t>(element_count(shape)))});
  }
  node_->op->evaluate(pointers, outputs, {});
  return outputs;
}

std::vector<std::vector<float>> SingleOp::run(const std::vector<std::vector<float>>& inputs,
                                              const std::vector<TensorDesc>& descs, int threads) {
  std::vector<TensorDesc> ordered;
  for (int index : order_) ordered.push_back(descs.at(index));
  Builder builder(*node_, ordered, output_shapes_);
  node_->op->plan(builder);
  require(builder.kernel != nullptr, ErrorCode::kInternal, "no kernel");
  kernel_name_ = builder.kernel_name;

  std::vector<std::vector<float>> memory;
  std::vector<const float*> in;
  for (size_t i = 0; i < order_.size(); ++i) {
    memory.push_back(scatter(builder.descs[i], inputs.at(order_[i])));
    in.push_back(builder.used[i] ? memory.back().data() : nullptr);
  }
  std::vector<std::vector<float>> results(output_shapes_.size());
  std::vector<float*> out;
  for (size_t i = 0; i < results.size(); ++i) {
    if (builder.outs[i]) results[i].assign(static_cast<size_t>(extent(*builder.outs[i])), 1e30f);
    out.push_back(builder.outs[i] ? results[i].data() : nullptr);
  }
  AlignedBuffer workspace(std::max<size_t>(
      builder.workspace + builder.workspace_per_thread * static_cast<size_t>(threads), 1));
  ReversedTeam reversed(threads);
  Team alone;
  builder.kernel->run({in.data(), out.data(), workspace.data()}, threads == 1 ? alone : reversed);
  for (size_t i = 0; i < results.size(); ++i) {
    if (builder.outs[i]) results[i] = gather(*builder.outs[i], results[i].data());
  }
  return results;
}

}  // namespace plica::testing
