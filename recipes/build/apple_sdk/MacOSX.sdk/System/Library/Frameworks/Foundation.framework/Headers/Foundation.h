// Foundation, as far as ggml-metal uses it. Written for this project from knowledge of the API; see README.md
// two folders above the SDK's root. NSObject and the runtime's own types come with the compiler.
#ifndef PINNED_FOUNDATION_H
#define PINNED_FOUNDATION_H

#include <Block.h>
#include <TargetConditionals.h>
#include <dispatch/dispatch.h>
#include <inttypes.h>
#include <mach/mach.h>
#include <os/availability.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#ifdef __OBJC__
#include <objc/NSObject.h>

typedef NSUInteger NSStringEncoding;
enum : NSStringEncoding { NSUTF8StringEncoding = 4 };

typedef struct _NSRange {
    NSUInteger location;
    NSUInteger length;
} NSRange;

static inline NSRange NSMakeRange(NSUInteger location, NSUInteger length) {
    NSRange range = {location, length};
    return range;
}

// what `for (x in y)` compiles to
typedef struct {
    unsigned long state;
    id __unsafe_unretained *itemsPtr;
    unsigned long *mutationsPtr;
    unsigned long extra[5];
} NSFastEnumerationState;

@protocol NSFastEnumeration
- (NSUInteger)countByEnumeratingWithState:(NSFastEnumerationState *)state
                                  objects:(id __unsafe_unretained [])buffer
                                    count:(NSUInteger)length;
@end

@protocol NSCopying
- (id)copyWithZone:(struct _NSZone *)zone;
@end

@protocol NSLocking
- (void)lock;
- (void)unlock;
@end

API_AVAILABLE(macos(10.0))
@interface NSLock : NSObject <NSLocking>
@end

API_AVAILABLE(macos(10.0))
@interface NSString : NSObject <NSCopying>
@property (readonly) const char *UTF8String;
+ (instancetype)stringWithUTF8String:(const char *)text;
+ (instancetype)stringWithCString:(const char *)text encoding:(NSStringEncoding)encoding;
+ (instancetype)stringWithFormat:(NSString *)format, ... __attribute__((format(__NSString__, 1, 2)));
- (instancetype)initWithBytes:(const void *)bytes length:(NSUInteger)length encoding:(NSStringEncoding)encoding;
- (BOOL)containsString:(NSString *)other API_AVAILABLE(macos(10.10));
@end

API_AVAILABLE(macos(10.0))
@interface NSArray<ObjectType> : NSObject <NSFastEnumeration>
@property (readonly) NSUInteger count;
- (ObjectType)objectAtIndexedSubscript:(NSUInteger)index API_AVAILABLE(macos(10.8));
@end

API_AVAILABLE(macos(10.0))
@interface NSMutableArray<ObjectType> : NSArray <ObjectType>
- (void)addObject:(ObjectType)object;
- (void)removeAllObjects;
- (void)removeObject:(ObjectType)object;
@end

API_AVAILABLE(macos(10.0))
@interface NSDictionary<KeyType, ObjectType> : NSObject
+ (instancetype)dictionary;
@end

API_AVAILABLE(macos(10.0))
@interface NSMutableDictionary<KeyType, ObjectType> : NSDictionary <KeyType, ObjectType>
- (void)setObject:(ObjectType)object forKey:(KeyType <NSCopying>)key;
@end

API_AVAILABLE(macos(10.0))
@interface NSError : NSObject
@property (readonly, copy) NSString *localizedDescription;
@end

API_AVAILABLE(macos(10.0))
@interface NSURL : NSObject
+ (NSURL *)fileURLWithPath:(NSString *)path;
@end

#endif
#endif
