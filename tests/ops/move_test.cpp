#include <algorithm>
#include <catch2/catch_test_macros.hpp>
#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "engine/base/fail.h"
#include "engine/graph/args.h"
#include "engine/graph/reference.h"
#include "engine/plan/plan.h"
#include "tests/support/run_graph.h"
#include "tests/support/targets.h"

// What PyTorch computes is in golden/move.json; here is what depends on the memory that tensors lie
// in, on symbolic sizes, and what must be refused.

namespace plica {
namespace {

using Ints = std::vector<Dim>;

std::unique_ptr<Op> make_op(const std::string& target, const Args& args,
                            std::vector<std::string>* inputs = nullptr, size_t outputs = 1) {
  const OpFactory factory = OpRegistry::instance().find(target);
  REQUIRE(factory != nullptr);
  ArgReader reader(args, outputs);
  std::unique_ptr<Op> op = factory(reader);
  reader.finish();
  if (inputs) *inputs = reader.tensor_names();
  return op;
}

std::vector<Value*> add(Graph& graph, const std::string& target, const Args& args,
                        size_t outputs = 1) {
  std::vector<std::string> tensors, names;
  std::unique_ptr<Op> op = make_op(target, args, &tensors, outputs);
  std::vector<Value*> inputs;
  for (const std::string& name : tensors) inputs.push_back(graph.find(name));
  const std::string name = "v" + std::to_string(graph.values().size());
  for (size_t i = 0; i < outputs; ++i) names.push_back(name + "_" + std::to_string(i));
  return graph.add_node(name, std::move(op), inputs, names)->outputs;
}

Arg tensor(const std::string& name) { return TensorRef{name}; }
Arg tensors(std::vector<std::string> names) {
  std::vector<TensorRef> refs;
  for (std::string& name : names) refs.push_back({std::move(name)});
  return refs;
}

/// Adds a graph input whose memory is that of `x` under another name and order:
/// 0 row-major, 1 channels-last, 2 the first channels of wider pixels, 3 axes reversed, 4 expanded
/// along the batch.
Array add_laid_out(Graph& graph, const std::string& name, const Shape& shape, int layout) {
  const auto rank = static_cast<int64_t>(shape.size());
  std::vector<int64_t> order;  // axes as they lie in memory
  for (int64_t i = 0; i < rank; ++i) order.push_back(layout == 3 ? rank - 1 - i : i);
  if (layout == 1 || layout == 2) std::rotate(order.begin() + 1, order.begin() + 2, order.end());
  Shape memory;
  Ints back(shape.size());
  for (int64_t i = 0; i < rank; ++i) {
    memory.push_back(shape[static_cast<size_t>(order[static_cast<size_t>(i)])]);
    back[static_cast<size_t>(order[static_cast<size_t>(i)])] = i;
  }
  if (layout == 2) memory.back() += 3;
  if (layout == 4) memory[0] = 1;
  graph.add_input(name + "_memory", Ints(memory.begin(), memory.end()));
  Value* value =
      add(graph, "aten.permute.default", {{"self", tensor(name + "_memory")}, {"dims", back}})[0];
  if (layout == 2) {
    value = add(graph, "aten.slice.Tensor",
                {{"self", tensor(value->name)}, {"dim", Dim(1)}, {"end", Dim(shape[1])}})[0];
  }
  if (layout == 4) {
    value = add(graph, "aten.expand.default",
                {{"self", tensor(value->name)}, {"size", Ints(shape.begin(), shape.end())}})[0];
  }
  const std::string alias = value->name;
  std::unique_ptr<Op> same = make_op("aten.alias.default", {{"self", tensor(alias)}});
  graph.add_node(name, std::move(same), {value}, {name});
  return test::random_array(memory, static_cast<uint32_t>(layout) + 7);
}

struct Example {
  std::string target;
  Args args;  // self or input is x; tensors are x, y
  size_t outputs = 1;
};

std::vector<Example> examples() {
  const Arg none;
  return {
      {"aten.reshape.default", {{"shape", Ints{-1, 6}}}},
      {"aten.flatten.using_ints", {{"start_dim", Dim(1)}}},
      {"aten.permute.default", {{"dims", Ints{3, 1, 0, 2}}}},
      {"aten.split.Tensor", {{"split_size", Dim(5)}, {"dim", Dim(1)}}, 3},
      {"aten.clone.default", {}},
      {"aten.cat.default", {{"tensors", tensors({"x", "y"})}, {"dim", Dim(1)}}},
      {"aten.cat.default", {{"tensors", tensors({"y", "x", "y"})}, {"dim", Dim(2)}}},
      {"aten.cat.default", {{"tensors", tensors({"x", "x"})}, {"dim", Dim(0)}}},
      {"aten.stack.default", {{"tensors", tensors({"x", "y"})}, {"dim", Dim(2)}}},
      {"aten.repeat.default", {{"repeats", Ints{2, 1, 3, 1}}}},
      {"aten.repeat_interleave.self_int", {{"repeats", Dim(3)}, {"dim", Dim(1)}}},
      {"aten.repeat_interleave.self_int", {{"repeats", Dim(2)}, {"dim", none}}},
      {"aten.flip.default", {{"dims", Ints{1, 3}}}},
      {"aten.constant_pad_nd.default", {{"pad", Ints{1, 2, -1, 1, 2, 0}}, {"value", 0.5}}},
      {"aten.reflection_pad2d.default", {{"padding", Ints{2, 1, 1, 2}}}},
      {"aten.replication_pad2d.default", {{"padding", Ints{3, 1, 0, 2}}}},
      {"aten.pad.default", {{"pad", Ints{3, 1, 1, 2}}, {"mode", std::string("circular")}}},
      {"aten.pixel_shuffle.default", {{"upscale_factor", Dim(2)}}},
      {"aten.channel_shuffle.default", {{"groups", Dim(3)}}},
      {"aten.upsample_nearest2d.vec", {{"output_size", Ints{7, 11}}, {"scale_factors", none}}},
      {"aten.full_like.default", {{"fill_value", 2.5}}},
  };
}

TEST_CASE("moves do not depend on the memory of their inputs", "[move]") {
  for (const Example& example : examples()) {
    for (int layout = 0; layout < 5; ++layout) {
      CAPTURE(example.target, layout);
      Graph graph;
      const Shape shape{2, 12, 3, 5};
      // The second tensor always lies in rows, so that layouts meet.
      const std::vector<Array> inputs{add_laid_out(graph, "x", shape, layout),
                                      add_laid_out(graph, "y", shape, 0)};
      Args args = example.args;
      if (!args.count("tensors")) {
        args[example.target.find("upsample") == std::string::npos ? "self" : "input"] = tensor("x");
      }
      for (Value* output : add(graph, example.target, args, example.outputs)) {
        graph.add_output(output);
      }
      set_shapes(graph);
      const std::vector<Array> expected = evaluate(graph, inputs);
      for (const int threads : {1, 2}) {
        const std::vector<Array> found = test::run_planned(graph, inputs, {.threads = threads});
        for (size_t i = 0; i < found.size(); ++i) {
          CHECK(found[i].shape == expected[i].shape);
          CHECK(found[i].data == expected[i].data);
        }
      }
    }
  }
}

TEST_CASE("views need no step", "[move]") {
  Graph graph;
  graph.add_input("x", {2, 6, 4, 5});
  Value* v =
      add(graph, "aten.permute.default", {{"self", tensor("x")}, {"dims", Ints{0, 2, 3, 1}}})[0];
  v = add(graph, "aten.slice.Tensor",
          {{"self", tensor(v->name)}, {"dim", Dim(3)}, {"start", Dim(1)}, {"end", Dim(5)}})[0];
  v = add(graph, "aten.view.default", {{"self", tensor(v->name)}, {"size", Ints{2, 20, 2, 2}}})[0];
  v = add(graph, "aten.unsqueeze.default", {{"self", tensor(v->name)}, {"dim", Dim(0)}})[0];
  v = add(graph, "aten.clone.default", {{"self", tensor(v->name)}})[0];
  graph.add_output(v);
  set_shapes(graph);
  PackCache cache;
  const Plan plan = make_plan(graph, {{2, 6, 4, 5}}, cache, {});
  CHECK(plan.steps.size() == 1);  // the copy into the caller's memory
  CHECK(plan.flops == 0);
}

TEST_CASE("sizes may depend on the batch", "[move]") {
  Graph graph;
  graph.symbols["n"] = {0, 64};
  const Dim n = Dim::symbol("n");
  graph.add_input("x", {n, 3, 2, 2});
  Value* v =
      add(graph, "aten.view.default",
          {{"self", tensor("x")}, {"size", Ints{Dim::apply(Dim::Operator::kMul, n, 3), 4}}})[0];
  v = add(graph, "aten.expand.default",
          {{"self", tensor(add(graph, "aten.unsqueeze.default",
                               {{"self", tensor(v->name)}, {"dim", Dim(0)}})[0]
                               ->name)},
           {"size", Ints{n, -1, -1}}})[0];
  v = add(graph, "aten.cat.default",
          {{"tensors",
            tensors({v->name, add(graph, "aten.zeros.default",
                                  {{"size", Ints{n, Dim::apply(Dim::Operator::kMul, n, 3), 1}}})[0]
                                  ->name})},
           {"dim", Dim(-1)}})[0];
  graph.add_output(v);
  set_shapes(graph);
  for (const int64_t batch : {0, 1, 2, 5}) {
    const Array x = test::random_array({batch, 3, 2, 2}, 1);
    const std::vector<Array> expected = evaluate(graph, {x});
    CHECK(expected[0].shape == Shape{batch, 3 * batch, 5});
    CHECK(test::run_planned(graph, {x})[0].data == expected[0].data);
  }
}

/// `mode` is as in "aten.upsample_bilinear2d.vec".
Args resize_args(const std::string& mode, const Ints& size, bool align_corners = false) {
  Args args{{"input", tensor("x")}, {"output_size", size}};
  if (mode[0] != 'n') args["align_corners"] = align_corners;
  return args;
}

/// Compares with the reference where the result is wanted in planes and where its channels are
/// wanted together, and the bits of 1 and 3 threads.
void check_resize(const std::string& mode, const Shape& shape, const Args& args, int layout) {
  for (const bool planes : {true, false}) {
    CAPTURE(mode, shape, layout, planes);
    Graph graph;
    const std::vector<Array> inputs{add_laid_out(graph, "x", shape, layout)};
    Value* y = add(graph, "aten.upsample_" + mode + ".vec", args)[0];
    if (!planes) {
      Ints order{0};
      for (size_t axis = 2; axis < shape.size(); ++axis) order.emplace_back(axis);
      order.emplace_back(1);
      y = add(graph, "aten.permute.default", {{"self", tensor(y->name)}, {"dims", order}})[0];
    }
    graph.add_output(y);
    set_shapes(graph);
    const Array expected = evaluate(graph, inputs)[0];
    const Array found = test::run_planned(graph, inputs)[0];
    CHECK(found.shape == expected.shape);
    double worst = 0;
    for (size_t i = 0; i < found.data.size(); ++i) {
      worst = std::max(worst, std::fabs(found.data[i] - expected.data[i]));
    }
    // Inputs are below 1; the bound is the kernel's.
    CHECK(worst <= (mode[0] == 'n' ? 0 : 6 * std::numeric_limits<float>::epsilon()));
    CHECK(test::run_planned(graph, inputs, {.threads = 3})[0].data == found.data);
  }
}

TEST_CASE("resizing agrees with its reference on every target", "[move][resize]") {
  for (const int64_t channels : {1, 3, 4, 8, 17, 21, 35}) {
    for (const std::string mode :
         {"nearest1d", "nearest2d", "nearest3d", "linear1d", "bilinear2d", "trilinear3d"}) {
      const auto axes = static_cast<size_t>(mode[mode.size() - 2] - '0');
      Shape shape{2, channels};
      Ints size;
      for (size_t i = 0; i < axes; ++i) {
        shape.push_back(3 + static_cast<int64_t>(i));
        size.emplace_back(7 - 2 * static_cast<int64_t>(i));
      }
      const Args args = resize_args(mode, size);
      test::for_each_target([&] {
        for (int layout = 0; layout < 3; ++layout) check_resize(mode, shape, args, layout);
      });
    }
  }
}

TEST_CASE("rows of any width are resized to any width", "[move][resize]") {
  for (const std::string mode : {"nearest2d", "bilinear2d"}) {
    for (const bool align_corners : {false, true}) {
      if (align_corners && mode[0] == 'n') continue;
      test::for_each_target([&] {
        for (const int64_t from : {1, 2, 7, 14, 16, 17, 33, 64}) {
          for (const int64_t to : {1, 3, 15, 16, 17, 33, 67, 130}) {
            CAPTURE(from, to, align_corners);
            check_resize(mode, {2, 2, 3, from}, resize_args(mode, {5, to}, align_corners), 0);
          }
        }
      });
    }
  }
}

/// Steps between [1, 5, 8, 6], whose channels lie together, and its resizing to [h, w] as an output
/// behind other operators.
std::vector<std::string> steps_of_resize(int64_t h, int64_t w,
                                         const std::vector<std::pair<std::string, Args>>& behind) {
  Graph graph;
  add_laid_out(graph, "x", {1, 5, 8, 6}, 1);
  Value* y = add(graph, "aten.upsample_bilinear2d.vec", resize_args("bilinear2d", {h, w}))[0];
  for (auto [target, args] : behind) {
    args["self"] = tensor(y->name);
    y = add(graph, target, args)[0];
  }
  graph.add_output(y);
  set_shapes(graph);
  PackCache cache;
  std::vector<std::string> names;
  for (const Step& step : make_plan(graph, {{1, 8, 6, 5}}, cache, {}).steps) {
    names.push_back(step.kernel_name);
  }
  return names;
}

TEST_CASE("a resized output is computed as the caller gets it", "[move][resize]") {
  using Names = std::vector<std::string>;
  CHECK(steps_of_resize(16, 12, {}) == Names{"copy", "resize linear"});
  CHECK(steps_of_resize(16, 12, {{"aten.relu.default", {}}, {"aten.clone.default", {}}}) ==
        Names{"copy", "resize linear", "relu"});
  // The result is smaller than what it is made of, or somebody has its channels together.
  CHECK(steps_of_resize(4, 3, {}) == Names{"resize linear", "copy"});
  CHECK(steps_of_resize(16, 12, {{"aten.permute.default", {{"dims", Ints{0, 2, 3, 1}}}}}) ==
        Names{"resize linear"});
}

TEST_CASE("only what keeps the elements in order says so", "[move]") {
  const Arg x = tensor("x");
  CHECK(make_op("aten.view.default", {{"self", x}, {"size", Ints{-1}}})->keeps_elements());
  CHECK(make_op("aten.squeeze.default", {{"self", x}})->keeps_elements());
  CHECK(make_op("aten.clone.default", {{"self", x}})->keeps_elements());
  CHECK(make_op("aten.dropout.default", {{"input", x}, {"p", 0.5}, {"train", false}})
            ->keeps_elements());
  CHECK(!make_op("aten.permute.default", {{"self", x}, {"dims", Ints{0}}})->keeps_elements());
  CHECK(!make_op("aten.slice.Tensor", {{"self", x}})->keeps_elements());
  CHECK(!make_op("aten.expand.default", {{"self", x}, {"size", Ints{1}}})->keeps_elements());
}

TEST_CASE("conversions between floating-point types do nothing, others are refused", "[move]") {
  const Arg x = tensor("x");
  for (const char* type : {"float32", "torch.float64", "bfloat16"}) {
    const Args args{{"self", x}, {"dtype", std::string(type)}, {"non_blocking", false}};
    CHECK(make_op("aten.to.dtype", args)->keeps_elements());
  }
  CHECK(make_op("aten._to_copy.default", {{"self", x}})->keeps_elements());
  CHECK_THROWS_AS(make_op("aten.to.dtype", {{"self", x}, {"dtype", std::string("bool")}}), Error);
  CHECK_THROWS_AS(make_op("aten.to.dtype", {{"self", x}, {"dtype", std::string("int8")}}), Error);
}

TEST_CASE("dropout in training mode tells how to export", "[move]") {
  const Args args{{"input", tensor("x")}, {"p", 0.5}, {"train", true}};
  for (const char* op : {"dropout", "feature_dropout", "alpha_dropout", "native_dropout"}) {
    try {
      make_op(concat("aten.", op, ".default"), args);
      FAIL("accepted");
    } catch (const Error& error) {
      CHECK(error.code() == ErrorCode::kUnsupported);
      CHECK(error.message().find("model.eval()") != std::string::npos);
    }
  }
}

TEST_CASE("moves that PyTorch refuses are refused", "[move]") {
  constexpr int64_t kHuge = int64_t{1} << 62;
  struct Refused {
    std::string target;
    Args args;
    Shape shape;
    size_t outputs = 1;
  };
  const std::vector<Refused> all{
      {"aten.view.default", {{"size", Ints{-1, -1}}}, {4}},
      {"aten.view.default", {{"size", Ints{-2, 2}}}, {4}},
      {"aten.view.default", {{"size", Ints{3, -1}}}, {4}},
      {"aten.view.default", {{"size", Ints{0, -1}}}, {0, 4}},
      {"aten.view.default", {{"size", Ints{kHuge, 4}}}, {4}},
      {"aten.flatten.using_ints", {{"start_dim", Dim(1)}, {"end_dim", Dim(0)}}, {2, 3}},
      {"aten.flatten.using_ints", {{"start_dim", Dim(2)}}, {2, 3}},
      {"aten.unflatten.int", {{"dim", Dim(0)}, {"sizes", Ints{4}}}, {6}},
      {"aten.unsqueeze.default", {{"dim", Dim(3)}}, {2, 3}},
      {"aten.squeeze.dims", {{"dim", Ints{0, -2}}}, {1, 1}},
      {"aten.permute.default", {{"dims", Ints{0, 0}}}, {2, 3}},
      {"aten.permute.default", {{"dims", Ints{0}}}, {2, 3}},
      {"aten.transpose.int", {{"dim0", Dim(0)}, {"dim1", Dim(2)}}, {2, 3}},
      {"aten.t.default", {}, {2, 3, 4}},
      {"aten.expand.default", {{"size", Ints{4}}}, {3}},
      {"aten.expand.default", {{"size", Ints{-1, 3}}}, {3}},
      {"aten.expand.default", {{"size", Ints{3}}}, {1, 3}},
      {"aten.repeat.default", {{"repeats", Ints{2}}}, {1, 3}},
      {"aten.repeat.default", {{"repeats", Ints{-1}}}, {3}},
      {"aten.repeat.default", {{"repeats", Ints{kHuge}}}, {3}},
      {"aten.slice.Tensor", {{"dim", Dim(1)}}, {3}},
      {"aten.select.int", {{"dim", Dim(0)}, {"index", Dim(3)}}, {3}},
      {"aten.narrow.default", {{"dim", Dim(0)}, {"start", Dim(2)}, {"length", Dim(2)}}, {3}},
      {"aten.narrow.default", {{"dim", Dim(0)}, {"start", Dim(2)}, {"length", Dim(-1)}}, {3}},
      {"aten.split.Tensor", {{"split_size", Dim(0)}}, {3}},
      {"aten.split.Tensor", {{"split_size", Dim(1)}}, {3}, 2},
      {"aten.unbind.int", {}, {kHuge}, 2},
      {"aten.split_with_sizes.default", {{"split_sizes", Ints{1, 1}}}, {3}, 2},
      {"aten.split_with_sizes.default", {{"split_sizes", Ints{5, -2}}}, {3}, 2},
      {"aten.constant_pad_nd.default", {{"pad", Ints{1}}}, {3}},
      {"aten.constant_pad_nd.default", {{"pad", Ints{1, 1, 1, 1}}}, {3}},
      {"aten.constant_pad_nd.default", {{"pad", Ints{-2, -2}}}, {3}},
      {"aten.constant_pad_nd.default", {{"pad", Ints{kHuge, kHuge}}}, {3}},
      {"aten.reflection_pad1d.default", {{"padding", Ints{3, 0}}}, {1, 2, 3}},
      {"aten.reflection_pad2d.default", {{"padding", Ints{1, 1}}}, {1, 2, 3, 3}},
      {"aten.pad.default", {{"pad", Ints{4, 0}}, {"mode", std::string("circular")}}, {1, 2, 3}},
      {"aten.pad.default", {{"pad", Ints{1, 0}}, {"mode", std::string("mirror")}}, {1, 2, 3}},
      {"aten.replication_pad1d.default", {{"padding", Ints{1, 1}}}, {1, 2, 0}},
      {"aten.pixel_shuffle.default", {{"upscale_factor", Dim(2)}}, {1, 6, 2, 2}},
      {"aten.pixel_shuffle.default", {{"upscale_factor", Dim(0)}}, {1, 6, 2, 2}},
      {"aten.pixel_unshuffle.default", {{"downscale_factor", Dim(2)}}, {1, 6, 3, 2}},
      {"aten.channel_shuffle.default", {{"groups", Dim(4)}}, {1, 6, 3, 2}},
      {"aten.flip.default", {{"dims", Ints{0, -1}}}, {3}},
      {"aten.upsample_nearest2d.default", {{"output_size", Ints{0, 4}}}, {1, 1, 2, 2}},
      {"aten.upsample_nearest2d.default", {{"output_size", Ints{4, 4}}}, {1, 2, 2}},
      {"aten.upsample_nearest1d.default", {{"output_size", Ints{4}}, {"scales", -1.0}}, {1, 2, 2}},
      {"aten.full_like.default", {}, {3}},
  };
  for (const Refused& refused : all) {
    CAPTURE(refused.target, refused.shape);
    Args args = refused.args;
    args["self"] = tensor("x");
    CHECK_THROWS_AS(make_op(refused.target, args, nullptr, refused.outputs)
                        ->infer_shapes(std::vector<Shape>{refused.shape}, {}),
                    Error);
  }
  const Args two{{"tensors", tensors({"x", "y"})}, {"dim", Dim(1)}};
  const auto cat = make_op("aten.cat.default", two);
  CHECK_THROWS_AS(cat->infer_shapes(std::vector<Shape>{{2, 3}, {3, 3}}, {}), Error);
  CHECK_THROWS_AS(cat->infer_shapes(std::vector<Shape>{{2, 3}, {2, 3, 1}}, {}), Error);
  CHECK_THROWS_AS(cat->infer_shapes(std::vector<Shape>{{}, {}}, {}), Error);
  CHECK_THROWS_AS(cat->infer_shapes(std::vector<Shape>{{2, kHuge}, {2, kHuge}}, {}), Error);
  const auto stack = make_op("aten.stack.default", two);
  CHECK_THROWS_AS(stack->infer_shapes(std::vector<Shape>{{2, 3}, {3, 3}}, {}), Error);
  CHECK_THROWS_AS(make_op("aten.cat.default", {{"tensors", tensors({})}}), Error);
  CHECK_THROWS_AS(make_op("aten.arange.start_step", {{"start", 0.0}, {"end", 5.0}, {"step", 0.0}}),
                  Error);
}

}  // namespace
}  // namespace plica
