// The CUDA backend's rope for the CPU: rope.cu is included as it stands in the source tree, but for its kernel launches,
// which are written as calls of launch(), and what it needs of CUDA is stood in for here. A block's threads run one
// after the other, which is right for kernels without a barrier.
#include "ggml.h"

#include <cmath>
#include <cstdint>
#include <cstring>

#define __device__
#define __global__

using half         = _Float16;
using cudaStream_t = void *;

struct dim3 {
    unsigned x, y, z;
    dim3(unsigned x = 1, unsigned y = 1, unsigned z = 1) : x(x), y(y), z(z) {}
};

static dim3 blockDim, blockIdx, threadIdx;

static float max(float x, float y) { return std::fmax(x, y); }
static float min(float x, float y) { return std::fmin(x, y); }

template <typename F>
struct launch {
    dim3 grid, block;
    F kernel;

    launch(dim3 grid, dim3 block, F kernel) : grid(grid), block(block), kernel(kernel) {}

    template <typename... T>
    void operator()(T... values) const {
        blockDim = block;
        for (blockIdx.x = 0; blockIdx.x < grid.x; blockIdx.x++) {
            for (blockIdx.y = 0; blockIdx.y < grid.y; blockIdx.y++) {
                for (threadIdx.x = 0; threadIdx.x < block.x; threadIdx.x++) {
                    for (threadIdx.y = 0; threadIdx.y < block.y; threadIdx.y++) {
                        kernel(values...);
                    }
                }
            }
        }
    }
};

struct ggml_backend_cuda_context {
    cudaStream_t stream() { return nullptr; }
};

#include "kernels.inc"

extern "C" void rope(ggml_tensor * op) {
    ggml_backend_cuda_context ctx;
    if (op->op == GGML_OP_ROPE_BACK) {
        ggml_cuda_op_rope_back(ctx, op);
    } else {
        ggml_cuda_op_rope(ctx, op);
    }
}
