// Metal, as far as ggml-metal uses it. Written for this project from knowledge of the API; see README.md
// two folders above the SDK's root. Each value, type and version is compared with pyobjc's metadata by a test.
#ifndef PINNED_METAL_H
#define PINNED_METAL_H

#include <Foundation/Foundation.h>

#ifdef __OBJC__

typedef enum MTLGPUFamily : NSInteger {
    MTLGPUFamilyApple1 = 1001,
    MTLGPUFamilyApple6 = 1006,
    MTLGPUFamilyApple7 = 1007,
    MTLGPUFamilyCommon1 = 3001,
} MTLGPUFamily API_AVAILABLE(macos(10.15));

typedef enum MTLDeviceLocation : NSUInteger {
    MTLDeviceLocationExternal = 2,
} MTLDeviceLocation API_AVAILABLE(macos(10.15));

typedef enum MTLResourceOptions : NSUInteger {
    MTLResourceStorageModeShared = 0,
    MTLResourceStorageModePrivate = 32,
} MTLResourceOptions API_AVAILABLE(macos(10.11));

typedef enum MTLDataType : NSUInteger {
    MTLDataTypeInt = 29,
    MTLDataTypeShort = 37,
    MTLDataTypeBool = 53,
} MTLDataType API_AVAILABLE(macos(10.11));

typedef enum MTLDispatchType : NSUInteger {
    MTLDispatchTypeConcurrent = 1,
} MTLDispatchType API_AVAILABLE(macos(10.14));

typedef enum MTLBarrierScope : NSUInteger {
    MTLBarrierScopeBuffers = 1,
} MTLBarrierScope API_AVAILABLE(macos(10.14));

typedef enum MTLCommandBufferStatus : NSUInteger {
    MTLCommandBufferStatusNotEnqueued = 0,
    MTLCommandBufferStatusCompleted = 4,
    MTLCommandBufferStatusError = 5,
} MTLCommandBufferStatus API_AVAILABLE(macos(10.11));

typedef enum MTLCaptureDestination : NSInteger {
    MTLCaptureDestinationGPUTraceDocument = 2,
} MTLCaptureDestination API_AVAILABLE(macos(10.15));

// no value is named: ggml has the one that it needs as a number of its own
typedef enum MTLLanguageVersion : NSUInteger MTLLanguageVersion API_AVAILABLE(macos(10.11));

typedef struct {
    NSUInteger width, height, depth;
} MTLSize;

static inline MTLSize MTLSizeMake(NSUInteger width, NSUInteger height, NSUInteger depth) {
    MTLSize size = {width, height, depth};
    return size;
}

@protocol MTLBlitCommandEncoder, MTLCommandBuffer, MTLCommandQueue, MTLComputeCommandEncoder;
@protocol MTLComputePipelineState, MTLDevice, MTLFunction, MTLLibrary, MTLResidencySet, MTLSharedEvent;
@class MTLCompileOptions, MTLFunctionConstantValues, MTLResidencySetDescriptor;

// Resources

API_AVAILABLE(macos(15.0))
@protocol MTLAllocation <NSObject>
@end

API_AVAILABLE(macos(10.11))
@protocol MTLResource <NSObject, MTLAllocation>
@end

API_AVAILABLE(macos(10.11))
@protocol MTLBuffer <MTLResource>
@property (readonly) uint64_t gpuAddress API_AVAILABLE(macos(13.0));
@end

API_AVAILABLE(macos(15.0))
@interface MTLResidencySetDescriptor : NSObject
@property (nonatomic, copy) NSString *label;
@property (nonatomic) NSUInteger initialCapacity;
@end

API_AVAILABLE(macos(15.0))
@protocol MTLResidencySet <NSObject>
- (void)requestResidency;
- (void)endResidency;
- (void)addAllocation:(id<MTLAllocation>)allocation;
- (void)removeAllAllocations;
- (void)commit;
@end

// The device and what it compiles

API_AVAILABLE(macos(10.11))
@protocol MTLDevice <NSObject>
@property (readonly) NSString *name;
@property (readonly) BOOL hasUnifiedMemory API_AVAILABLE(macos(10.15));
@property (readonly) MTLDeviceLocation location API_AVAILABLE(macos(10.15));
@property (readonly) uint64_t recommendedMaxWorkingSetSize API_AVAILABLE(macos(10.12));
@property (readonly) NSUInteger currentAllocatedSize API_AVAILABLE(macos(10.13));
@property (readonly) NSUInteger maxBufferLength API_AVAILABLE(macos(10.14));
@property (readonly) NSUInteger maxThreadgroupMemoryLength API_AVAILABLE(macos(10.13));
- (BOOL)supportsFamily:(MTLGPUFamily)family API_AVAILABLE(macos(10.15));
- (id<MTLCommandQueue>)newCommandQueue;
- (id<MTLSharedEvent>)newSharedEvent API_AVAILABLE(macos(10.14));
- (id<MTLBuffer>)newBufferWithLength:(NSUInteger)length options:(MTLResourceOptions)options;
- (id<MTLBuffer>)newBufferWithBytes:(const void *)bytes
                             length:(NSUInteger)length
                            options:(MTLResourceOptions)options;
- (id<MTLBuffer>)newBufferWithBytesNoCopy:(void *)bytes
                                   length:(NSUInteger)length
                                  options:(MTLResourceOptions)options
                              deallocator:(void (^)(void *bytes, NSUInteger length))deallocator;
- (id<MTLLibrary>)newLibraryWithSource:(NSString *)source
                               options:(MTLCompileOptions *)options
                                 error:(NSError **)error;
- (id<MTLComputePipelineState>)newComputePipelineStateWithFunction:(id<MTLFunction>)function
                                                             error:(NSError **)error;
- (id<MTLResidencySet>)newResidencySetWithDescriptor:(MTLResidencySetDescriptor *)descriptor
                                               error:(NSError **)error API_AVAILABLE(macos(15.0));
@end

API_AVAILABLE(macos(10.11))
@interface MTLCompileOptions : NSObject <NSCopying>
@property (nonatomic, copy) NSDictionary<NSString *, NSObject *> *preprocessorMacros;
@property (nonatomic) MTLLanguageVersion languageVersion API_AVAILABLE(macos(10.11));
@end

API_AVAILABLE(macos(10.12))
@interface MTLFunctionConstantValues : NSObject <NSCopying>
- (void)setConstantValue:(const void *)value type:(MTLDataType)type atIndex:(NSUInteger)index;
@end

API_AVAILABLE(macos(10.11))
@protocol MTLFunction <NSObject>
@end

API_AVAILABLE(macos(10.11))
@protocol MTLLibrary <NSObject>
@property (readonly) NSArray<NSString *> *functionNames;
- (id<MTLFunction>)newFunctionWithName:(NSString *)name;
- (id<MTLFunction>)newFunctionWithName:(NSString *)name
                        constantValues:(MTLFunctionConstantValues *)values
                                 error:(NSError **)error API_AVAILABLE(macos(10.12));
@end

API_AVAILABLE(macos(10.11))
@protocol MTLComputePipelineState <NSObject>
@property (readonly) NSUInteger maxTotalThreadsPerThreadgroup;
@property (readonly) NSUInteger threadExecutionWidth;
@end

// Commands

API_AVAILABLE(macos(10.14))
@protocol MTLEvent <NSObject>
@end

API_AVAILABLE(macos(10.14))
@protocol MTLSharedEvent <MTLEvent>
- (BOOL)waitUntilSignaledValue:(uint64_t)value timeoutMS:(uint64_t)milliseconds API_AVAILABLE(macos(12.0));
@end

API_AVAILABLE(macos(10.11))
@protocol MTLCommandQueue <NSObject>
- (id<MTLCommandBuffer>)commandBuffer;
- (id<MTLCommandBuffer>)commandBufferWithUnretainedReferences;
@end

API_AVAILABLE(macos(10.11))
@protocol MTLCommandBuffer <NSObject>
@property (readonly) MTLCommandBufferStatus status;
@property (readonly) NSError *error;
- (void)enqueue;
- (void)commit;
- (void)waitUntilCompleted;
- (void)encodeWaitForEvent:(id<MTLEvent>)event value:(uint64_t)value API_AVAILABLE(macos(10.14));
- (void)encodeSignalEvent:(id<MTLEvent>)event value:(uint64_t)value API_AVAILABLE(macos(10.14));
- (void)addCompletedHandler:(void (^)(id<MTLCommandBuffer> buffer))handler;
- (id<MTLBlitCommandEncoder>)blitCommandEncoder;
- (id<MTLComputeCommandEncoder>)computeCommandEncoder;
- (id<MTLComputeCommandEncoder>)computeCommandEncoderWithDispatchType:(MTLDispatchType)type
    API_AVAILABLE(macos(10.14));
@end

API_AVAILABLE(macos(10.11))
@protocol MTLCommandEncoder <NSObject>
- (void)endEncoding;
- (void)pushDebugGroup:(NSString *)text;
- (void)popDebugGroup;
@end

API_AVAILABLE(macos(10.11))
@protocol MTLBlitCommandEncoder <MTLCommandEncoder>
- (void)fillBuffer:(id<MTLBuffer>)buffer range:(NSRange)range value:(uint8_t)value;
- (void)copyFromBuffer:(id<MTLBuffer>)source
          sourceOffset:(NSUInteger)sourceOffset
              toBuffer:(id<MTLBuffer>)destination
     destinationOffset:(NSUInteger)destinationOffset
                  size:(NSUInteger)size;
@end

API_AVAILABLE(macos(10.11))
@protocol MTLComputeCommandEncoder <MTLCommandEncoder>
- (void)setComputePipelineState:(id<MTLComputePipelineState>)state;
- (void)setBytes:(const void *)bytes length:(NSUInteger)length atIndex:(NSUInteger)index;
- (void)setBuffer:(id<MTLBuffer>)buffer offset:(NSUInteger)offset atIndex:(NSUInteger)index;
- (void)setThreadgroupMemoryLength:(NSUInteger)length atIndex:(NSUInteger)index;
- (void)dispatchThreadgroups:(MTLSize)groups threadsPerThreadgroup:(MTLSize)threads;
- (void)memoryBarrierWithScope:(MTLBarrierScope)scope API_AVAILABLE(macos(10.14));
@end

// Capture, for GPU traces

API_AVAILABLE(macos(10.13))
@protocol MTLCaptureScope <NSObject>
- (void)beginScope;
- (void)endScope;
@end

API_AVAILABLE(macos(10.15))
@interface MTLCaptureDescriptor : NSObject <NSCopying>
@property (nonatomic, strong) id captureObject;
@property (nonatomic) MTLCaptureDestination destination;
@property (nonatomic, copy) NSURL *outputURL;
@end

API_AVAILABLE(macos(10.13))
@interface MTLCaptureManager : NSObject
+ (MTLCaptureManager *)sharedCaptureManager;
- (id<MTLCaptureScope>)newCaptureScopeWithDevice:(id<MTLDevice>)device;
- (BOOL)startCaptureWithDescriptor:(MTLCaptureDescriptor *)descriptor
                             error:(NSError **)error API_AVAILABLE(macos(10.15));
- (void)stopCapture;
@end

// both are C functions in Metal's binary
#ifdef __cplusplus
extern "C" {
#endif
id<MTLDevice> MTLCreateSystemDefaultDevice(void) API_AVAILABLE(macos(10.11));
NSArray<id<MTLDevice>> *MTLCopyAllDevices(void) API_AVAILABLE(macos(10.11));
#ifdef __cplusplus
}
#endif

#endif
#endif
