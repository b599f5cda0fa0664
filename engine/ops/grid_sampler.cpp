#include "engine/base/fail.h"
#include "engine/graph/args.h"
#include "engine/graph/step_builder.h"
#include "engine/kernels/grid_sample.h"

namespace plica {
namespace {

/// Images [N, C, H, W] sampled where a grid [N, H', W', 2] of (x, y) says.
class GridSampler final : public Op {
 public:
  explicit GridSampler(ArgReader& reader) {
    reader.tensor("input");
    reader.tensor("grid");
    const int64_t mode = reader.integer("interpolation_mode", 0);
    const int64_t padding = reader.integer("padding_mode", 0);
    require(mode == 0 || mode == 1, ErrorCode::kUnsupported, "grid_sampler: interpolation ", mode,
            "; only 0 (bilinear) and 1 (nearest) are supported");
    require(padding >= 0 && padding <= 2, ErrorCode::kInvalid, "grid_sampler: padding ", padding);
    rule_.nearest = mode == 1;
    rule_.padding = static_cast<GridPadding>(padding);
    rule_.align_corners = reader.boolean("align_corners", false);
  }

  std::string_view name() const override { return "grid_sampler"; }
  std::string describe() const override {
    constexpr const char* kPaddings[] = {"zeros", "border", "reflection"};
    return concat(rule_.nearest ? "nearest" : "bilinear", ", padding ",
                  kPaddings[static_cast<int>(rule_.padding)],
                  rule_.align_corners ? ", corners aligned" : "");
  }
  bool is_samplewise(std::span<const Shape>) const override { return true; }

  std::vector<Shape> infer_shapes(std::span<const Shape> inputs, const Bindings&) const override {
    const Shape &in = inputs[0], &grid = inputs[1];
    require(in.size() == 4, ErrorCode::kUnsupported,
            "grid_sampler: expected images of rank 4, found ", in);
    require(grid.size() == 4 && grid[0] == in[0] && grid[3] == 2, ErrorCode::kInvalid,
            "grid_sampler: a grid of shape ", grid, " for images ", in);
    require(in[2] > 0 && in[3] > 0, ErrorCode::kInvalid, "grid_sampler: empty images ", in);
    return {{in[0], in[1], grid[1], grid[2]}};
  }

  void evaluate(std::span<const Array* const> inputs, std::span<Array> outputs,
                const Bindings&) const override {
    const Shape &in = inputs[0]->shape, &out = outputs[0].shape;
    const int64_t plane = in[2] * in[3], samples = out[2] * out[3];
    for (int64_t i = 0; i < in[0] * samples; ++i) {
      const double* at = inputs[1]->data.data() + 2 * i;
      const GridTaps<double> taps(rule_, at[0], at[1], in[2], in[3]);
      const int64_t image = i / samples;
      for (int64_t c = image * in[1]; c < (image + 1) * in[1]; ++c) {
        double sum = 0;
        for (int k = 0; k < 4; ++k) {
          if (taps.offset[k] < 0) continue;
          sum += taps.weight[k] * inputs[0]->data[static_cast<size_t>(c * plane + taps.offset[k])];
        }
        outputs[0].data[static_cast<size_t>(c * samples + i % samples)] = sum;
      }
    }
  }

  void plan(StepBuilder& builder) const override {
    const Shape &in = builder.input_shape(0), &out = builder.output_shape(0);
    GridSampleProblem p;
    p.rule = rule_;
    p.n = in[0];
    p.c = in[1];
    p.in_h = in[2];
    p.in_w = in[3];
    p.out_h = out[2];
    p.out_w = out[3];
    p.src_pixel_stride = pixel_stride(builder.use_input(0, Layout::kPixelRows));
    builder.use_input(1, Layout::kRowMajor);
    p.dst_pixel_stride = builder.set_output_pixels(0);
    builder.emit(make_grid_sample(p), "grid_sample");
  }

  int64_t flops(std::span<const Shape>, std::span<const Shape> outputs) const override {
    return rule_.nearest ? 0 : 8 * element_count(outputs[0]);
  }

 private:
  GridRule rule_;
};

}  // namespace

void register_grid_sampler(OpRegistry& registry);
void register_grid_sampler(OpRegistry& registry) {
  registry.add({"aten.grid_sampler.default", "aten.grid_sampler_2d.default"},
               [](ArgReader& reader) -> std::unique_ptr<Op> {
                 return std::make_unique<GridSampler>(reader);
               });
}

}  // namespace plica
