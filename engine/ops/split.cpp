#include <algorithm>

#include "engine/graph/args.h"
#include "engine/graph/graph.h"
#include "engine/ops/view.h"

namespace plica {
namespace {

/// Cuts an axis into consecutive parts, one output each.
class SplitOp : public StridedViewOp {
 public:
  explicit SplitOp(ArgReader& reader) : output_count_(reader.output_count()) {
    reader.tensor("self");
  }

  bool is_samplewise(std::span<const Shape>) const override { return true; }

  std::vector<ChannelSource> channel_sources(const Node& node, size_t output) const override {
    const int64_t rank = node.inputs[0]->rank();
    if (rank < 3 || normalize_axis(axis_, rank) != 1) return {};
    int64_t first = 0;
    for (size_t i = 0; i <= output; ++i) {
      const Value& part = *node.outputs[i];
      if (part.rank() != rank || part.shape[1] < 0) return {};
      if (i < output) first += part.shape[1];
    }
    return consecutive_channels(first, node.outputs[output]->shape[1]);
  }

 protected:
  /// Sizes of the parts of an axis of `size`; as many as there are outputs.
  virtual std::vector<int64_t> parts(int64_t size, const Bindings& bindings) const = 0;

  std::vector<View> views(const TensorDesc& in, std::span<const Shape>,
                          const Bindings& bindings) const override {
    const auto axis = static_cast<size_t>(normalize_axis(axis_, in.rank()));
    std::vector<View> all;
    int64_t start = 0;
    for (int64_t length : parts(in.shape[axis], bindings)) {
      all.push_back({in, start * in.strides[axis]});
      all.back().desc.shape[axis] = length;
      start += length;
    }
    return all;
  }

  /// Throws unless the file names `count` outputs.
  void check_count(int64_t count) const {
    require(count == static_cast<int64_t>(output_count_), ErrorCode::kInvalid, name(), " has ",
            count, " outputs, the file names ", output_count_);
  }

  /// Parts of `length` each; the last one is what is left. An empty axis has one empty part.
  std::vector<int64_t> equal_parts(int64_t size, int64_t length) const {
    require(length > 0 || (length == 0 && size == 0), ErrorCode::kInvalid, name(),
            ": parts of size ", length, " of an axis of size ", size);
    const int64_t count = size == 0 ? 1 : size / length + (size % length != 0);
    check_count(count);
    std::vector<int64_t> result;
    for (; count > static_cast<int64_t>(result.size()); size -= result.back()) {
      result.push_back(std::min(size, length));
    }
    return result;
  }

  int64_t axis_ = 0;

 private:
  size_t output_count_;
};

class Split : public SplitOp {
 public:
  explicit Split(ArgReader& reader) : SplitOp(reader) {
    length_ = reader.dim("split_size");
    axis_ = reader.integer("dim", 0);
  }
  std::string_view name() const override { return "split"; }
  std::string describe() const override {
    return concat("axis ", axis_, ", parts of ", length_.to_string());
  }

 protected:
  std::vector<int64_t> parts(int64_t size, const Bindings& bindings) const override {
    return equal_parts(size, length_.evaluate(bindings));
  }

 private:
  Dim length_;
};

class SplitWithSizes : public SplitOp {
 public:
  SplitWithSizes(ArgReader& reader, std::string_view sizes_name) : SplitOp(reader) {
    sizes_ = reader.dims(sizes_name);
    axis_ = reader.integer("dim", 0);
  }
  std::string_view name() const override { return "split_with_sizes"; }
  std::string describe() const override {
    std::string text = concat("axis ", axis_, ", parts of ");
    for (size_t i = 0; i < sizes_.size(); ++i) text += (i ? ", " : "") + sizes_[i].to_string();
    return text;
  }

 protected:
  std::vector<int64_t> parts(int64_t size, const Bindings& bindings) const override {
    check_count(static_cast<int64_t>(sizes_.size()));
    std::vector<int64_t> result;
    int64_t left = size;
    for (const Dim& dim : sizes_) {
      result.push_back(dim.evaluate(bindings));
      const bool fits = result.back() >= 0 && result.back() <= left;
      require(fits, ErrorCode::kInvalid, "split_with_sizes: parts ", result, " of an axis of size ",
              size);
      left -= result.back();
    }
    require(left == 0, ErrorCode::kInvalid, "split_with_sizes: parts ", result,
            " do not make up an axis of size ", size);
    return result;
  }

 private:
  std::vector<Dim> sizes_;
};

class Chunk : public SplitOp {
 public:
  explicit Chunk(ArgReader& reader) : SplitOp(reader) {
    chunks_ = reader.integer("chunks");
    axis_ = reader.integer("dim", 0);
    require(chunks_ > 0, ErrorCode::kInvalid, "chunk: ", chunks_, " chunks");
  }
  std::string_view name() const override { return "chunk"; }
  std::string describe() const override { return concat("axis ", axis_, ", ", chunks_); }

 protected:
  std::vector<int64_t> parts(int64_t size, const Bindings&) const override {
    if (size == 0) {
      check_count(chunks_);
      return std::vector<int64_t>(static_cast<size_t>(chunks_), 0);
    }
    return equal_parts(size, size / chunks_ + (size % chunks_ != 0));
  }

 private:
  int64_t chunks_;
};

/// As split into parts of 1, whose axis is dropped.
class Unbind : public SplitOp {
 public:
  explicit Unbind(ArgReader& reader) : SplitOp(reader) { axis_ = reader.integer("dim", 0); }
  std::string_view name() const override { return "unbind"; }
  std::string describe() const override { return concat("axis ", axis_); }

 protected:
  std::vector<int64_t> parts(int64_t size, const Bindings&) const override {
    check_count(size);
    return std::vector<int64_t>(static_cast<size_t>(size), 1);
  }
  std::vector<View> views(const TensorDesc& in, std::span<const Shape> inputs,
                          const Bindings& bindings) const override {
    std::vector<View> all = SplitOp::views(in, inputs, bindings);
    const int64_t axis = normalize_axis(axis_, in.rank());
    for (View& view : all) {
      view.desc.shape.erase(view.desc.shape.begin() + axis);
      view.desc.strides.erase(view.desc.strides.begin() + axis);
    }
    return all;
  }
};

template <typename T>
std::unique_ptr<Op> make(ArgReader& reader) {
  return std::make_unique<T>(reader);
}

}  // namespace

void register_split(OpRegistry& registry);
void register_split(OpRegistry& registry) {
  registry.add({"aten.split.Tensor", "aten.unsafe_split.Tensor"}, make<Split>);
  registry.add({"aten.split_with_sizes.default", "aten.unsafe_split_with_sizes.default",
                "aten.split_with_sizes_copy.default"},
               [](ArgReader& reader) -> std::unique_ptr<Op> {
                 return std::make_unique<SplitWithSizes>(reader, "split_sizes");
               });
  registry.add({"aten.split.sizes"}, [](ArgReader& reader) -> std::unique_ptr<Op> {
    return std::make_unique<SplitWithSizes>(reader, "split_size");
  });
  registry.add({"aten.chunk.default", "aten.unsafe_chunk.default"}, make<Chunk>);
  registry.add({"aten.unbind.int"}, make<Unbind>);
}

}  // namespace plica
