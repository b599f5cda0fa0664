// Plica through its public interface.

#include <plica/plica.h>

#include "bench/workers/worker.h"

namespace plica::bench {
namespace {

class PlicaEngine : public Engine {
 public:
  explicit PlicaEngine(const Job& job)
      : input_(job.input),
        session_(Model::load(job.model), SessionOptions{.threads = job.threads}) {
    session_.prepare(std::vector<std::vector<int64_t>>{job.shape});
    inputs_.emplace_back(input_.data(), job.shape);
    for (const std::vector<int64_t>& shape : session_.output_shapes()) {
      size_t count = 1;
      for (const int64_t dim : shape) count *= static_cast<size_t>(dim);
      results_.emplace_back(count);
      outputs_.emplace_back(results_.back().data(), shape);
    }
  }
  void run() override { session_.run(inputs_, outputs_); }
  std::span<const float> output() override { return results_.at(0); }

 private:
  std::vector<float> input_;
  Session session_;
  std::vector<ConstTensor> inputs_;
  std::vector<std::vector<float>> results_;
  std::vector<Tensor> outputs_;
};

}  // namespace
}  // namespace plica::bench

int main(int argc, char** argv) {
  using namespace plica::bench;
  return worker_main(argc, argv, [](const Job& job) { return std::make_unique<PlicaEngine>(job); });
}
