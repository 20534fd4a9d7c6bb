// The Metal backend's rope for the CPU: the kernels and the code of the host that chooses and starts them are included
// as they stand in the source tree, and what they need of Metal is stood in for here. A threadgroup's threads run one
// after the other, which is right for kernels without a barrier.
#include "ggml.h"
#include "ggml-metal-impl.h"

#include <algorithm>
#include <cassert>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstring>

using half   = _Float16;
using ushort = unsigned short;
using uint   = unsigned int;

struct ushort3 {
    ushort x, y, z;
};

struct uint3 {
    uint v[3];
    uint operator[](int i) const { return v[i]; }
};

using kernel_function = void(
    const ggml_metal_kargs_rope &, const char *, const char *, const char *, char *, ushort, ushort3, uint3);

struct named_kernel {
    const char *      name;
    kernel_function * function;
};

namespace metal {

// Metal's functions compute in the type of their arguments
float ceil (float x)          { return std::ceil(x); }
float cos  (float x)          { return std::cos(x); }
float floor(float x)          { return std::floor(x); }
float log  (float x)          { return std::log(x); }
float max  (float x, float y) { return std::fmax(x, y); }
float min  (float x, float y) { return std::fmin(x, y); }
float pow  (float x, float y) { return std::pow(x, y); }
float sin  (float x)          { return std::sin(x); }

#define M_PI_F 3.14159265358979323846f

#define constant const
#define device
#define kernel
#define thread
#include "kernels.inc"
#undef constant
#undef device
#undef kernel
#undef thread

const named_kernel kernels[] = {
#include "names.inc"
};

}

struct ggml_metal_encoder {
    kernel_function *     function = nullptr;
    ggml_metal_kargs_rope args;
    char *                buffers[5] = {};
};

struct ggml_metal_library {};

struct ggml_metal_op {
    ggml_tensor *        tensor;
    ggml_metal_encoder * enc;
    ggml_metal_library * lib;

    ggml_tensor * node(int) const { return tensor; }
};

using ggml_metal_encoder_t  = ggml_metal_encoder *;
using ggml_metal_library_t  = ggml_metal_library *;
using ggml_metal_op_t       = ggml_metal_op *;
using ggml_metal_pipeline_t = const named_kernel *;

static ggml_metal_pipeline_t ggml_metal_library_get_pipeline(ggml_metal_library_t, const char *) {
    return nullptr; // nothing was compiled before
}

static ggml_metal_pipeline_t ggml_metal_library_compile_pipeline(
        ggml_metal_library_t, const char * base, const char *, const void *) {
    for (const auto & kernel : metal::kernels) {
        if (strcmp(kernel.name, base) == 0) {
            return &kernel;
        }
    }
    GGML_ABORT("no kernel %s", base);
}

static char * ggml_metal_get_buffer_id(const ggml_tensor * tensor) {
    return (char *) tensor->data;
}

static void ggml_metal_encoder_set_pipeline(ggml_metal_encoder_t enc, ggml_metal_pipeline_t pipeline) {
    enc->function = pipeline->function;
}

static void ggml_metal_encoder_set_bytes(ggml_metal_encoder_t enc, void * data, size_t size, int index) {
    GGML_ASSERT(index == 0 && size == sizeof(enc->args));
    memcpy(&enc->args, data, size);
}

static void ggml_metal_encoder_set_buffer(ggml_metal_encoder_t enc, char * buffer, int index) {
    GGML_ASSERT(index >= 1 && index < 5);
    enc->buffers[index] = buffer;
}

static void ggml_metal_encoder_dispatch_threadgroups(
        ggml_metal_encoder_t enc, int tg0, int tg1, int tg2, int tptg0, int tptg1, int tptg2) {
    GGML_ASSERT(tptg1 == 1 && tptg2 == 1);
    for (int i2 = 0; i2 < tg2; i2++) {
        for (int i1 = 0; i1 < tg1; i1++) {
            for (int i0 = 0; i0 < tg0; i0++) {
                for (int t = 0; t < tptg0; t++) {
                    enc->function(
                        enc->args, enc->buffers[1], enc->buffers[2], enc->buffers[3], enc->buffers[4], (ushort) t,
                        { (ushort) tptg0, 1, 1 }, {{ (uint) i0, (uint) i1, (uint) i2 }});
                }
            }
        }
    }
}

#include "host.inc"

extern "C" void rope(ggml_tensor * op) {
    ggml_metal_encoder enc;
    ggml_metal_library lib;
    ggml_metal_op ctx = { op, &enc, &lib };
    ggml_metal_op_rope(&ctx, 0);
}
