// ONNX Runtime through its C interface. The wheel has the library but no headers, so the part of
// its table of functions that is used here is declared: its order never changes.

#include <dlfcn.h>

#include <cstddef>
#include <cstring>
#include <stdexcept>

#include "bench/workers/worker.h"

namespace plica::bench {
namespace {

struct OrtStatus;
struct OrtEnv;
struct OrtSession;
struct OrtSessionOptions;
struct OrtValue;
struct OrtMemoryInfo;
struct OrtAllocator;
struct OrtIoBinding;

/// Places in the table OrtApi.
enum Function : size_t {
  kGetErrorMessage = 2,
  kCreateEnv = 3,
  kCreateSession = 7,
  kCreateSessionOptions = 10,
  kSetGraphOptimizationLevel = 23,
  kSetIntraOpThreads = 24,
  kSetInterOpThreads = 25,
  kSessionGetOutputTypeInfo = 34,
  kSessionGetInputName = 36,
  kSessionGetOutputName = 37,
  kCreateTensor = 48,
  kCreateTensorWithData = 49,
  kGetTensorMutableData = 51,
  kCastTypeInfoToTensorInfo = 55,
  kGetDimensionsCount = 61,
  kGetDimensions = 62,
  kCreateCpuMemoryInfo = 69,
  kGetAllocator = 78,
  kRunWithBinding = 133,
  kCreateIoBinding = 134,
  kBindInput = 136,
  kBindOutput = 137,
};
constexpr int kAllOptimisations = 99;
constexpr int kFloat = 1;
constexpr int kArenaAllocator = 1;
constexpr int kDefaultMemory = 0;
constexpr int kLogErrors = 3;
constexpr uint32_t kApiVersion = 12;

struct OrtApiBase {
  void* const* (*get_api)(uint32_t version);
  const char* (*version)();
};

class OnnxRuntime : public Engine {
 public:
  explicit OnnxRuntime(const Job& job) : input_(job.input) {
    void* library = dlopen(job.library.c_str(), RTLD_NOW | RTLD_GLOBAL);
    if (!library) throw std::runtime_error(dlerror());
    const auto base = reinterpret_cast<const OrtApiBase* (*)()>(dlsym(library, "OrtGetApiBase"));
    if (!base) throw std::runtime_error("no OrtGetApiBase");
    api_ = base()->get_api(kApiVersion);
    if (!api_) throw std::runtime_error("ONNX Runtime is too old");
    run_with_binding_ = function<OrtSession*, const void*, const OrtIoBinding*>(kRunWithBinding);

    OrtEnv* env = nullptr;
    call<int, const char*, OrtEnv**>(kCreateEnv, kLogErrors, "bench", &env);
    OrtSessionOptions* options = nullptr;
    call<OrtSessionOptions**>(kCreateSessionOptions, &options);
    call<OrtSessionOptions*, int>(kSetGraphOptimizationLevel, options, kAllOptimisations);
    call<OrtSessionOptions*, int>(kSetIntraOpThreads, options, job.threads);
    call<OrtSessionOptions*, int>(kSetInterOpThreads, options, 1);
    call<OrtEnv*, const char*, OrtSessionOptions*, OrtSession**>(
        kCreateSession, env, job.model.c_str(), options, &session_);
    bind(job);
  }

  void run() override { check(run_with_binding_(session_, nullptr, binding_)); }

  std::span<const float> output() override {
    float* data = nullptr;
    call<OrtValue*, float**>(kGetTensorMutableData, output_, &data);
    return {data, elements_};
  }

 private:
  template <typename... Args>
  using Call = OrtStatus* (*)(Args...);
  template <typename... Args>
  Call<Args...> function(Function place) const {
    return reinterpret_cast<Call<Args...>>(api_[place]);
  }
  template <typename... Args>
  void call(Function place, Args... args) const {
    check(function<Args...>(place)(args...));
  }
  void check(OrtStatus* status) const {
    if (!status) return;
    const auto message =
        reinterpret_cast<const char* (*)(const OrtStatus*)>(api_[kGetErrorMessage]);
    throw std::runtime_error(message(status));
  }

  void bind(const Job& job) {
    OrtMemoryInfo* memory = nullptr;
    call<int, int, OrtMemoryInfo**>(kCreateCpuMemoryInfo, kArenaAllocator, kDefaultMemory, &memory);
    call<OrtAllocator**>(kGetAllocator, &allocator_);
    char *input_name = nullptr, *output_name = nullptr;
    call<const OrtSession*, size_t, OrtAllocator*, char**>(kSessionGetInputName, session_, 0,
                                                           allocator_, &input_name);
    call<const OrtSession*, size_t, OrtAllocator*, char**>(kSessionGetOutputName, session_, 0,
                                                           allocator_, &output_name);
    OrtValue* input = nullptr;
    call<const OrtMemoryInfo*, void*, size_t, const int64_t*, size_t, int, OrtValue**>(
        kCreateTensorWithData, memory, input_.data(), input_.size() * sizeof(float),
        job.shape.data(), job.shape.size(), kFloat, &input);
    call<OrtSession*, OrtIoBinding**>(kCreateIoBinding, session_, &binding_);
    call<OrtIoBinding*, const char*, const OrtValue*>(kBindInput, binding_, input_name, input);
    call<OrtIoBinding*, const char*, const OrtValue*>(kBindOutput, binding_, output_name,
                                                      make_output());
  }

  OrtValue* make_output() {
    void* type = nullptr;
    const void* tensor = nullptr;
    size_t rank = 0;
    call<const OrtSession*, size_t, void**>(kSessionGetOutputTypeInfo, session_, 0, &type);
    call<const void*, const void**>(kCastTypeInfoToTensorInfo, type, &tensor);
    call<const void*, size_t*>(kGetDimensionsCount, tensor, &rank);
    std::vector<int64_t> shape(rank);
    call<const void*, int64_t*, size_t>(kGetDimensions, tensor, shape.data(), rank);
    elements_ = 1;
    for (const int64_t dim : shape) elements_ *= static_cast<size_t>(dim);
    call<OrtAllocator*, const int64_t*, size_t, int, OrtValue**>(
        kCreateTensor, allocator_, shape.data(), rank, kFloat, &output_);
    return output_;
  }

  std::vector<float> input_;
  void* const* api_ = nullptr;
  Call<OrtSession*, const void*, const OrtIoBinding*> run_with_binding_ = nullptr;
  OrtSession* session_ = nullptr;
  OrtIoBinding* binding_ = nullptr;
  OrtValue* output_ = nullptr;
  size_t elements_ = 0;
  OrtAllocator* allocator_ = nullptr;
};

}  // namespace
}  // namespace plica::bench

int main(int argc, char** argv) {
  using namespace plica::bench;
  return worker_main(argc, argv, [](const Job& job) { return std::make_unique<OnnxRuntime>(job); });
}
