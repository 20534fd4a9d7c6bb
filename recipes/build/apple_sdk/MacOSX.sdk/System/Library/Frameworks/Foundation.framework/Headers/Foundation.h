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

@class NSArray<ObjectType>, NSDictionary<KeyType, ObjectType>, NSError, NSString;

API_AVAILABLE(macos(10.0))
@interface NSLock : NSObject <NSLocking>
@end

// Values and text

API_AVAILABLE(macos(10.0))
@interface NSValue : NSObject <NSCopying>
@end

API_AVAILABLE(macos(10.0))
@interface NSNumber : NSValue
@property (readonly) int intValue;
+ (NSNumber *)numberWithInt:(int)value; // what @(...) of an int compiles to
@end

API_AVAILABLE(macos(10.0))
@interface NSCharacterSet : NSObject <NSCopying>
@property (readonly, class, copy) NSCharacterSet *whitespaceCharacterSet;
@end

API_AVAILABLE(macos(10.0))
@interface NSString : NSObject <NSCopying>
@property (readonly) NSUInteger length;
@property (readonly) const char *UTF8String;
@property (readonly, copy) NSString *stringByDeletingLastPathComponent;
@property (readonly, copy) NSString *stringByStandardizingPath;
+ (instancetype)stringWithUTF8String:(const char *)text;
+ (instancetype)stringWithCString:(const char *)text encoding:(NSStringEncoding)encoding;
+ (instancetype)stringWithFormat:(NSString *)format, ... __attribute__((format(__NSString__, 1, 2)));
+ (instancetype)stringWithContentsOfFile:(NSString *)path
                                encoding:(NSStringEncoding)encoding
                                   error:(NSError **)error API_AVAILABLE(macos(10.4));
+ (NSString *)pathWithComponents:(NSArray<NSString *> *)components;
- (instancetype)initWithBytes:(const void *)bytes length:(NSUInteger)length encoding:(NSStringEncoding)encoding;
- (BOOL)containsString:(NSString *)other API_AVAILABLE(macos(10.10));
- (BOOL)isEqualToString:(NSString *)other;
- (NSString *)substringToIndex:(NSUInteger)end;
- (NSArray<NSString *> *)componentsSeparatedByString:(NSString *)separator;
- (NSString *)stringByTrimmingCharactersInSet:(NSCharacterSet *)characters;
- (NSString *)stringByAppendingPathComponent:(NSString *)component;
- (NSString *)stringByAppendingPathExtension:(NSString *)extension;
@end

API_AVAILABLE(macos(10.0))
@interface NSMutableString : NSString
- (void)appendString:(NSString *)other;
@end

API_AVAILABLE(macos(10.0))
@interface NSScanner : NSObject <NSCopying>
@property (copy) NSCharacterSet *charactersToBeSkipped;
+ (instancetype)scannerWithString:(NSString *)text;
- (BOOL)scanString:(NSString *)text intoString:(NSString **)found;
- (BOOL)scanUpToString:(NSString *)text intoString:(NSString **)found;
@end

// Collections

API_AVAILABLE(macos(10.0))
@interface NSArray<ObjectType> : NSObject <NSFastEnumeration>
@property (readonly) NSUInteger count;
+ (instancetype)arrayWithObjects:(const ObjectType [])objects count:(NSUInteger)count; // @[...]
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
+ (instancetype)dictionaryWithObjects:(const ObjectType [])objects // @{...}
                              forKeys:(const KeyType <NSCopying> [])keys
                                count:(NSUInteger)count;
- (ObjectType)objectForKeyedSubscript:(KeyType)key API_AVAILABLE(macos(10.8));
@end

API_AVAILABLE(macos(10.0))
@interface NSMutableDictionary<KeyType, ObjectType> : NSDictionary <KeyType, ObjectType>
- (void)setObject:(ObjectType)object forKey:(KeyType <NSCopying>)key;
- (void)setObject:(ObjectType)object forKeyedSubscript:(KeyType <NSCopying>)key API_AVAILABLE(macos(10.8));
@end

API_AVAILABLE(macos(10.0))
@interface NSSet<ObjectType> : NSObject
+ (instancetype)set;
- (BOOL)containsObject:(ObjectType)object;
@end

API_AVAILABLE(macos(10.0))
@interface NSMutableSet<ObjectType> : NSSet <ObjectType>
- (void)addObject:(ObjectType)object;
@end

// Errors, files and the process

extern NSString *const NSLocalizedDescriptionKey;

API_AVAILABLE(macos(10.0))
@interface NSError : NSObject
@property (readonly, copy) NSString *localizedDescription;
+ (instancetype)errorWithDomain:(NSString *)domain code:(NSInteger)code userInfo:(NSDictionary<NSString *, id> *)info;
@end

API_AVAILABLE(macos(10.0))
@interface NSURL : NSObject
+ (NSURL *)fileURLWithPath:(NSString *)path;
@end

extern NSString *const NSFileType;
extern NSString *const NSFileTypeSymbolicLink;

API_AVAILABLE(macos(10.0))
@interface NSFileManager : NSObject
@property (readonly, class, strong) NSFileManager *defaultManager;
- (BOOL)isReadableFileAtPath:(NSString *)path;
- (NSDictionary<NSString *, id> *)attributesOfItemAtPath:(NSString *)path
                                                   error:(NSError **)error API_AVAILABLE(macos(10.5));
- (NSString *)destinationOfSymbolicLinkAtPath:(NSString *)path error:(NSError **)error API_AVAILABLE(macos(10.5));
@end

API_AVAILABLE(macos(10.0))
@interface NSBundle : NSObject
- (NSString *)pathForResource:(NSString *)name ofType:(NSString *)extension;
@end

API_AVAILABLE(macos(10.0))
@interface NSProcessInfo : NSObject
@property (readonly, class, strong) NSProcessInfo *processInfo;
@property (readonly, copy) NSArray<NSString *> *arguments;
@end

#endif
#endif
