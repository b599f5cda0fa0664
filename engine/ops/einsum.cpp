#include <algorithm>
#include <limits>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "engine/base/checked.h"
#include "engine/base/fail.h"
#include "engine/graph/args.h"
#include "engine/graph/step_builder.h"
#include "engine/kernels/matmul.h"
#include "engine/ops/einsum_equation.h"

namespace plica {
namespace {

/// Runs a product whose left operand is the second one.
class SwappedKernel final : public Kernel {
 public:
  explicit SwappedKernel(std::unique_ptr<Kernel> product) : product_(std::move(product)) {}
  void run(const KernelArgs& args, Team& team) const noexcept override {
    const float* const in[] = {args.in[1], args.in[0]};
    product_->run({in, args.out, args.workspace}, team);
  }

 private:
  std::unique_ptr<Kernel> product_;
};

/// aten.einsum of two operands as a batch of matrix products: labels of both operands that the
/// output has are the batch, those that it has not are summed over, and the others are rows or
/// columns. Transposing and reshaping is a matter of strides.
class Einsum final : public Op {
 public:
  explicit Einsum(ArgReader& reader) {
    equation_ = reader.text("equation");
    equation_.erase(std::remove(equation_.begin(), equation_.end(), ' '), equation_.end());
    const int operands = reader.tensors("tensors");
    require(operands == 2, ErrorCode::kUnsupported, "einsum of ", operands,
            " tensors; only products of two are supported");
    reader.ignore("path");
  }

  std::string_view name() const override { return "einsum"; }
  std::string describe() const override { return equation_; }

  bool is_samplewise(std::span<const Shape> inputs) const override {
    const EinsumEquation equation(equation_, inputs);
    if (equation.output.empty()) return false;
    const char first = equation.output[0];
    const auto fits = [&](int i) {
      return !equation.has(i, first) || equation.operand[i].starts_with(first);
    };
    return fits(0) && fits(1);
  }

  std::vector<Shape> infer_shapes(std::span<const Shape> inputs, const Bindings&) const override {
    const EinsumEquation equation(equation_, inputs);
    const std::map<char, int64_t> sizes = equation.sizes(inputs);
    Shape out;
    for (char label : equation.output) out.push_back(sizes.at(label));
    return {std::move(out)};
  }

  void evaluate(std::span<const Array* const> inputs, std::span<Array> outputs,
                const Bindings&) const override {
    const std::vector<Shape> shapes{inputs[0]->shape, inputs[1]->shape};
    const EinsumEquation equation(equation_, shapes);
    const std::map<char, int64_t> sizes = equation.sizes(shapes);
    std::string sum;
    for (char label : equation.operand[0]) {
      if (!equation.is_output(label)) sum += label;
    }
    // Where the elements of an operand are for each output element, and for each term.
    const auto offsets = [&](const std::string& loops, int i) {
      const Strides strides = row_major(shapes[static_cast<size_t>(i)]).strides;
      TensorDesc desc;
      for (char label : loops) {
        const size_t at = equation.operand[i].find(label);
        desc.shape.push_back(sizes.at(label));
        desc.strides.push_back(at == std::string::npos ? 0 : strides[at]);
      }
      std::vector<int64_t> all;
      for_each_offset(desc, [&](int64_t offset) { all.push_back(offset); });
      return all;
    };
    const auto x = offsets(equation.output, 0), x_terms = offsets(sum, 0);
    const auto y = offsets(equation.output, 1), y_terms = offsets(sum, 1);
    for (size_t i = 0; i < outputs[0].data.size(); ++i) {
      for (size_t k = 0; k < x_terms.size(); ++k) {
        outputs[0].data[i] += inputs[0]->data[static_cast<size_t>(x[i] + x_terms[k])] *
                              inputs[1]->data[static_cast<size_t>(y[i] + y_terms[k])];
      }
    }
  }

  void plan(StepBuilder& builder) const override {
    const std::vector<Shape> shapes{builder.input_shape(0), builder.input_shape(1)};
    const EinsumEquation equation(equation_, shapes);
    const std::map<char, int64_t> sizes = equation.sizes(shapes);
    // The right operand is packed.
    const auto cost = [&](int i) {
      return builder.constant(i) ? 0 : std::max<int64_t>(1, element_count(shapes[i]));
    };
    const int left = cost(0) < cost(1) ? 1 : 0, right = 1 - left;
    std::string batch, rows, columns, sum;
    for (char label : equation.output) {
      if (equation.has(0, label) && equation.has(1, label)) batch += label;
    }
    for (char label : in_memory(equation.operand[left], builder.input_desc(left))) {
      if (!equation.is_output(label)) sum += label;
      if (equation.is_output(label) && !equation.has(right, label)) rows += label;
    }
    for (char label : in_memory(equation.operand[right], builder.input_desc(right))) {
      if (!equation.has(left, label)) columns += label;
    }
    const auto count = [&](const std::string& labels) {
      int64_t product = 1;
      for (char label : labels) product = checked_mul(product, sizes.at(label));
      return product;
    };
    MatmulProblem problem;
    problem.m = count(rows);
    problem.n = count(columns);
    problem.k = count(sum);
    const TensorDesc a = take(builder, left, equation, batch, rows, sum, problem.k, true);
    const TensorDesc b = take(builder, right, equation, batch, sum, columns, problem.n, false);
    problem.left_row = *merged(a, equation.operand[left], rows, problem.k);
    problem.right_k_stride = *merged(b, equation.operand[right], sum, 1);
    problem.right_n_stride = *merged(b, equation.operand[right], columns, 1);
    const auto offsets = [&](const TensorDesc& desc, const std::string& labels) {
      TensorDesc matrices;
      for (char label : batch) {
        matrices.shape.push_back(sizes.at(label));
        matrices.strides.push_back(desc.strides[labels.find(label)]);
      }
      std::vector<int64_t> all;
      for_each_offset(matrices, [&](int64_t offset) { all.push_back(offset); });
      return all;
    };
    for (int64_t offset : offsets(a, equation.operand[left])) {
      problem.items.push_back({offset, static_cast<int64_t>(problem.items.size())});
    }
    problem.right_offset = offsets(b, equation.operand[right]);
    builder.set_output(0,
                       in_order(equation.output, builder.output_shape(0), batch + rows + columns));
    const MatmulWorkspace workspace = matmul_workspace(problem);
    builder.set_workspace(workspace.bytes, workspace.bytes_per_thread);
    std::unique_ptr<Kernel> product = make_matmul(std::move(problem), nullptr);
    if (left == 1) product = std::make_unique<SwappedKernel>(std::move(product));
    builder.emit(std::move(product), "einsum");
  }

  int64_t flops(std::span<const Shape> inputs, std::span<const Shape>) const override {
    int64_t product = 2;
    for (const auto& [label, size] : EinsumEquation(equation_, inputs).sizes(inputs)) {
      product = checked_mul(product, size);
    }
    return product;
  }

 private:
  /// Labels from slow to fast in memory.
  static std::string in_memory(const std::string& labels, const TensorDesc& desc) {
    std::vector<size_t> axes(labels.size());
    for (size_t axis = 0; axis < axes.size(); ++axis) axes[axis] = axis;
    std::stable_sort(axes.begin(), axes.end(),
                     [&](size_t a, size_t b) { return desc.strides[a] > desc.strides[b]; });
    std::string sorted;
    for (size_t axis : axes) sorted += labels[axis];
    return sorted;
  }

  /// The stride under which `group`, axes of `desc`, is one axis; `fallback` if it has one element.
  static std::optional<int64_t> merged(const TensorDesc& desc, const std::string& labels,
                                       const std::string& group, int64_t fallback) {
    int64_t stride = 0, size = 1;
    for (size_t i = group.size(); i-- > 0;) {
      const size_t axis = labels.find(group[i]);
      if (desc.shape[axis] == 1) continue;
      if (size == 1) {
        stride = desc.strides[axis];
      } else if (desc.strides[axis] != stride * size) {
        return std::nullopt;
      }
      size *= desc.shape[axis];
    }
    return size == 1 ? fallback : stride;
  }

  /// Dense memory with the axes in the order of `order`.
  static TensorDesc in_order(const std::string& labels, const Shape& shape,
                             const std::string& order) {
    TensorDesc desc{shape, Strides(shape.size(), 0)};
    int64_t stride = 1;
    for (size_t i = order.size(); i-- > 0;) {
      const size_t axis = labels.find(order[i]);
      desc.strides[axis] = stride;
      stride *= std::max<int64_t>(1, shape[axis]);
    }
    return desc;
  }

  /// An operand as it lies in memory, if it is matrices there; else a copy that is. `dense`:
  /// columns must be neighbours, and rows must not overlap.
  TensorDesc take(StepBuilder& builder, int index, const EinsumEquation& equation,
                  const std::string& batch, const std::string& rows, const std::string& columns,
                  int64_t width, bool dense) const {
    const std::string& labels = equation.operand[index];
    const TensorDesc& desc = builder.input_desc(index);
    const auto row = merged(desc, labels, rows, std::numeric_limits<int64_t>::max());
    const auto column = merged(desc, labels, columns, 1);
    const bool fits = row && column && (!dense || (*column == 1 && *row >= width));
    if (fits) return builder.use_input(index, Layout::kAny);
    return builder.use_input_as(index,
                                in_order(labels, desc.shape, batch + rows + columns).strides);
  }

  std::string equation_;
};

}  // namespace

void register_einsum(OpRegistry& registry);
void register_einsum(OpRegistry& registry) {
  registry.add({"aten.einsum.default"}, [](ArgReader& reader) -> std::unique_ptr<Op> {
    return std::make_unique<Einsum>(reader);
  });
}

}  // namespace plica
