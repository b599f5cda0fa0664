// OpenVINO through its C interface.

#include <openvino/c/openvino.h>

#include <cstring>
#include <stdexcept>

#include "bench/workers/worker.h"

namespace plica::bench {
namespace {

void check(ov_status_e status) {
  if (status == OK) return;
  const char* message = ov_get_last_err_msg();
  throw std::runtime_error(message && *message ? message : ov_get_error_info(status));
}

class OpenVino : public Engine {
 public:
  explicit OpenVino(const Job& job) : input_(job.input) {
    ov_core_t* core = nullptr;
    check(ov_core_create(&core));
    ov_compiled_model_t* compiled = nullptr;
    const std::string threads = std::to_string(job.threads);
    check(ov_core_compile_model_from_file(
        core, job.model.c_str(), "CPU", 8, &compiled, ov_property_key_hint_performance_mode,
        "LATENCY", ov_property_key_hint_inference_precision, "f32",
        ov_property_key_inference_num_threads, threads.c_str(), ov_property_key_num_streams, "1"));
    char* precision = nullptr;
    check(ov_compiled_model_get_property(compiled, ov_property_key_hint_inference_precision,
                                         &precision));
    // Where the processor has bf16 it is taken silently unless f32 is asked for.
    if (std::strcmp(precision, "f32") != 0)
      throw std::runtime_error(std::string("computes in ") + precision + " instead of f32");
    check(ov_compiled_model_create_infer_request(compiled, &request_));
    ov_shape_t shape;
    check(ov_shape_create(static_cast<int64_t>(job.shape.size()), job.shape.data(), &shape));
    ov_tensor_t* tensor = nullptr;
    check(ov_tensor_create_from_host_ptr(F32, shape, input_.data(), &tensor));
    check(ov_infer_request_set_input_tensor_by_index(request_, 0, tensor));
  }

  void run() override { check(ov_infer_request_infer(request_)); }

  std::span<const float> output() override {
    ov_tensor_t* tensor = nullptr;
    check(ov_infer_request_get_output_tensor_by_index(request_, 0, &tensor));
    void* data = nullptr;
    size_t elements = 0;
    check(ov_tensor_data(tensor, &data));
    check(ov_tensor_get_size(tensor, &elements));
    return {static_cast<const float*>(data), elements};
  }

 private:
  std::vector<float> input_;
  ov_infer_request_t* request_ = nullptr;
};

}  // namespace
}  // namespace plica::bench

int main(int argc, char** argv) {
  using namespace plica::bench;
  return worker_main(argc, argv, [](const Job& job) { return std::make_unique<OpenVino>(job); });
}
