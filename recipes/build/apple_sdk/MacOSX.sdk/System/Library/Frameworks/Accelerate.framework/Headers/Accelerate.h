// Accelerate, as far as ggml's CPU and BLAS backends use it: vDSP, and one function of the C interface to BLAS
// (https://www.netlib.org/blas/blast-forum/cblas.tgz). Written for this project; see README.md two folders above
// the SDK's root.
#ifndef PINNED_ACCELERATE_H
#define PINNED_ACCELERATE_H

#include <os/availability.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef long vDSP_Stride;
typedef unsigned long vDSP_Length;

void vDSP_vadd(const float *a, vDSP_Stride ia, const float *b, vDSP_Stride ib, float *c, vDSP_Stride ic, vDSP_Length n);
void vDSP_vsub(const float *b, vDSP_Stride ib, const float *a, vDSP_Stride ia, float *c, vDSP_Stride ic, vDSP_Length n);
void vDSP_vmul(const float *a, vDSP_Stride ia, const float *b, vDSP_Stride ib, float *c, vDSP_Stride ic, vDSP_Length n);
void vDSP_vdiv(const float *b, vDSP_Stride ib, const float *a, vDSP_Stride ia, float *c, vDSP_Stride ic, vDSP_Length n);
void vDSP_vsadd(const float *a, vDSP_Stride ia, const float *b, float *c, vDSP_Stride ic, vDSP_Length n);
void vDSP_vsmul(const float *a, vDSP_Stride ia, const float *b, float *c, vDSP_Stride ic, vDSP_Length n);
void vDSP_vsmsa(const float *a, vDSP_Stride ia, const float *b, const float *c, float *d, vDSP_Stride id, vDSP_Length n);
void vDSP_sve(const float *a, vDSP_Stride ia, float *c, vDSP_Length n);
void vDSP_maxv(const float *a, vDSP_Stride ia, float *c, vDSP_Length n);
void vDSP_measqv(const float *a, vDSP_Stride ia, float *c, vDSP_Length n);

// ggml asks for the interface of macOS 13.3 with 64-bit integers, whose symbols carry a suffix
#if !defined(ACCELERATE_NEW_LAPACK) || !defined(ACCELERATE_LAPACK_ILP64)
#error "this SDK knows only the BLAS that ACCELERATE_NEW_LAPACK and ACCELERATE_LAPACK_ILP64 choose"
#endif

enum CBLAS_ORDER { CblasRowMajor = 101, CblasColMajor = 102 };
enum CBLAS_TRANSPOSE { CblasNoTrans = 111, CblasTrans = 112, CblasConjTrans = 113 };

void cblas_sgemm(const enum CBLAS_ORDER order, const enum CBLAS_TRANSPOSE trans_a, const enum CBLAS_TRANSPOSE trans_b,
                 const long m, const long n, const long k, const float alpha, const float *a, const long lda,
                 const float *b, const long ldb, const float beta, float *c, const long ldc)
    __asm("_cblas_sgemm$NEWLAPACK$ILP64") API_AVAILABLE(macos(13.3));

#ifdef __cplusplus
}
#endif
#endif
