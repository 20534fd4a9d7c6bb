// Measures how fast a GPU copies its own memory: bytes read and written a second, as a line of JSON.
#include <cstdio>
#include <cstdlib>
#include <cuda_runtime.h>

static void check(cudaError_t status) {
    if (status != cudaSuccess) {
        std::fprintf(stderr, "bandwidth: %s\n", cudaGetErrorString(status));
        std::exit(1);
    }
}

int main() {
    const size_t size = size_t(4) << 30;
    const int copies = 20, rounds = 5;
    char *from, *into;
    check(cudaMalloc(&from, size));
    check(cudaMalloc(&into, size));
    check(cudaMemset(from, 1, size));
    cudaEvent_t begin, end;
    check(cudaEventCreate(&begin));
    check(cudaEventCreate(&end));
    cudaDeviceProp device;
    check(cudaGetDeviceProperties(&device, 0));
    std::printf("{\"device\": \"%s\", \"bytes\": %zu, \"bytes_per_s\": [", device.name, size);
    for (int round = -1; round < rounds; ++round) {  // the first one warms up
        check(cudaEventRecord(begin));
        for (int copy = 0; copy < copies; ++copy) {
            check(cudaMemcpyAsync(into, from, size, cudaMemcpyDeviceToDevice));
        }
        check(cudaEventRecord(end));
        check(cudaEventSynchronize(end));
        float ms = 0;
        check(cudaEventElapsedTime(&ms, begin, end));
        if (round >= 0) {
            std::printf("%s%.0f", round ? ", " : "", 2.0 * size * copies / (ms / 1e3));
        }
    }
    std::printf("]}\n");
    return 0;
}
