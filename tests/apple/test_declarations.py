"""Every declaration of recipes/build/apple_sdk, compared with those who had Apple's SDK; and planted faults."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

from recipes.build.audit.macho.text_stubs import read_stubs
from tests.apple import comparison
from tests.apple.comparison import Strength
from tests.apple.conftest import DROPPED, DROPPED_SYMBOLS
from tests.apple.headers import parse_headers

if TYPE_CHECKING:
    from pathlib import Path

    from tests.apple.headers import Declarations
    from tests.apple.objc_tables import Image
    from tests.apple.pyobjc import Pyobjc

METAL = "System/Library/Frameworks/Metal.framework/Headers/Metal.h"
FOUNDATION = "System/Library/Frameworks/Foundation.framework/Headers/Foundation.h"
# "C Interface to the BLAS" of the BLAS Technical Forum's standard, its cblas.h
CBLAS = {
    "CblasRowMajor": 101,
    "CblasColMajor": 102,
    "CblasNoTrans": 111,
    "CblasTrans": 112,
    "CblasConjTrans": 113,
}
# What no authority confirms, and why it stands there all the same. A new line here needs a reason too.
NEWER = (
    "macOS 15 is newer than the SDK of every authority that sends it; pyobjc has no rows for ordinary methods"
)
UNCONFIRMED = {
    "-[MTLResidencySetDescriptor label]: no authority knows it": NEWER,
    "-[MTLResidencySetDescriptor setLabel:]: no authority knows it": NEWER,
    "-[MTLResidencySetDescriptor initialCapacity]: no authority knows it": NEWER,
    "-[MTLResidencySetDescriptor setInitialCapacity:]: no authority knows it": NEWER,
    **{f"{method}: no authority knows it": "no bundle sends it: test_linked.py" for method in DROPPED},
}
METAL_STUB = (
    "in the stub of /System/Library/Frameworks/Metal.framework/Versions/A/Metal,"
    " Apple's linker has never met it"
)
UNCONFIRMED_SYMBOLS = {
    f"_OBJC_CLASS_$_MTLResidencySetDescriptor: {METAL_STUB}": NEWER,
    f"_OBJC_METACLASS_$_MTLResidencySetDescriptor: {METAL_STUB}": NEWER,
    "_dgemm_: in the stub of /System/Library/Frameworks/Accelerate.framework/Versions/A/Accelerate,"
    " Apple's linker has never met it": "CMake's FindBLAS asks for it while configuring; nothing of a bundle does",
}
UNCONFIRMED_STRUCTS = {
    "struct NSFastEnumerationState: no authority knows it": (
        "by name; its layout is in the encoding of countByEnumeratingWithState:objects:count:, which is compared"
    )
}
# Known by less than all of their types: the authorities for the rest is that Apple-linked code of the same
# source, compiled with Apple's own headers, sends the same selector from the same function (test_linked.py).
WEAKER = {
    Strength.PARTLY: {
        "+[NSString stringWithCString:encoding:]",
        "+[NSString stringWithFormat:]",
        "+[NSString stringWithUTF8String:]",
        "-[MTLCaptureManager startCaptureWithDescriptor:error:]",
        "-[NSFileManager isReadableFileAtPath:]",
        "-[NSScanner scanString:intoString:]",
        "-[NSScanner scanUpToString:intoString:]",
        "-[NSString containsString:]",
        "-[NSString isEqualToString:]",
    },
    Strength.SELECTOR: {
        "+[MTLCaptureManager sharedCaptureManager]",
        "+[NSArray arrayWithObjects:count:]",
        "+[NSDictionary dictionary]",
        "+[NSDictionary dictionaryWithObjects:forKeys:count:]",
        "+[NSNumber numberWithInt:]",
        "+[NSString stringWithContentsOfFile:encoding:error:]",
        "+[NSURL fileURLWithPath:]",
        "-[MTLCaptureDescriptor setCaptureObject:]",
        "-[MTLCaptureDescriptor setDestination:]",
        "-[MTLCaptureDescriptor setOutputURL:]",
        "-[MTLCaptureManager newCaptureScopeWithDevice:]",
        "-[MTLCaptureManager stopCapture]",
        "-[MTLCommandBuffer status]",
        "-[MTLCompileOptions setLanguageVersion:]",
        "-[MTLCompileOptions setPreprocessorMacros:]",
        "-[MTLFunctionConstantValues setConstantValue:type:atIndex:]",
        "-[NSArray objectAtIndexedSubscript:]",
        "-[NSDictionary objectForKeyedSubscript:]",
        "-[NSError localizedDescription]",
        "-[NSFileManager attributesOfItemAtPath:error:]",
        "-[NSFileManager destinationOfSymbolicLinkAtPath:error:]",
        "-[NSMutableArray removeAllObjects]",
        "-[NSMutableArray removeObject:]",
        "-[NSMutableDictionary setObject:forKeyedSubscript:]",
    },
    Strength.SETTER: {
        "-[MTLCaptureDescriptor captureObject]",
        "-[MTLCaptureDescriptor destination]",
        "-[MTLCaptureDescriptor outputURL]",
        "-[MTLCompileOptions languageVersion]",
        "-[MTLCompileOptions preprocessorMacros]",
    },
}


@pytest.fixture(scope="module")
def selectors(linked: dict[str, Image]) -> set[str]:
    return {selector for image in linked.values() for selector in image.selectors().values()}


@pytest.fixture(scope="module")
def ours(sdk: Path, zig: Path) -> Declarations:
    return parse_headers(sdk, zig)


def test_something_of_each_kind_is_declared_and_known(ours: Declarations, pyobjc: Pyobjc) -> None:
    assert len(ours.methods) > 120
    assert {"MTLDevice", "NSString"} <= {method.owner for method in ours.methods}
    assert {"MTLGPUFamilyApple7", "NSUTF8StringEncoding"} <= set(ours.constants)
    assert {"MTLSize", "_NSRange"} <= set(ours.structs)
    assert {"cblas_sgemm", "MTLCreateSystemDefaultDevice"} <= set(ours.functions)
    assert {"NSFileType", "NSLocalizedDescriptionKey"} <= set(ours.variables)
    assert len(pyobjc.protocols) > 90
    assert len(pyobjc.constants) > 2000


def test_every_method_is_there_with_its_types(
    ours: Declarations, pyobjc: Pyobjc, selectors: set[str]
) -> None:
    verdict = comparison.compare_methods(ours, pyobjc, selectors)
    assert set(verdict.differences) == set(UNCONFIRMED)
    assert len(verdict.known) + len(UNCONFIRMED) == len({str(method) for method in ours.methods})
    for strength, names in WEAKER.items():
        assert {name for name, how in verdict.known.items() if how is strength} == names


def test_every_constant_has_its_value(ours: Declarations, pyobjc: Pyobjc) -> None:
    assert comparison.compare_constants(ours, pyobjc, CBLAS) == []


def test_every_variable_has_its_type(ours: Declarations, pyobjc: Pyobjc) -> None:
    assert comparison.compare_variables(ours, pyobjc) == []


def test_every_struct_has_its_layout(ours: Declarations, pyobjc: Pyobjc) -> None:
    found = comparison.compare_structs(ours, pyobjc, {"_NSRange": "NSRange"})
    assert set(found) == set(UNCONFIRMED_STRUCTS)


def test_every_function_is_there_with_its_types(
    ours: Declarations, pyobjc: Pyobjc, bindings: dict[str, str]
) -> None:
    assert comparison.compare_functions(ours, pyobjc, bindings) == []


def test_protocols_refine_only_what_apples_do(ours: Declarations, pyobjc: Pyobjc) -> None:
    assert comparison.compare_inheritance(ours, pyobjc) == []


def test_every_symbol_of_a_stub_is_where_apples_linker_found_it(sdk: Path, bindings: dict[str, str]) -> None:
    stubs = read_stubs(sdk.rglob("*.tbd"))
    assert len(stubs) == 6
    assert set(comparison.compare_stubs(stubs, bindings)) == set(UNCONFIRMED_SYMBOLS)


def test_every_class_and_function_is_in_a_stub(ours: Declarations, sdk: Path) -> None:
    exported = {symbol for stub in read_stubs(sdk.rglob("*.tbd")).values() for symbol in stub.symbols}
    # a class that is only ever received or inherited from, never named in code that stays, needs no symbol
    unnamed = {"NSArray", "NSDictionary", "NSError", "NSValue"} | DROPPED_SYMBOLS
    wanted = {f"_OBJC_CLASS_$_{name}" for name in ours.classes.keys() - unnamed} | set(ours.symbols.values())
    wanted |= {f"_{name}" for name in ours.variables.keys() - unnamed}
    assert wanted - exported == set()
    assert exported & {f"{start}{name}" for start in ("_", "_OBJC_CLASS_$_") for name in unnamed} == set()


PLANTED = {
    "a constant": (
        (METAL, "MTLGPUFamilyApple7 = 1007", "MTLGPUFamilyApple7 = 1008"),
        "MTLGPUFamilyApple7: declared as 1008, Apple's SDK has 1007",
    ),
    "a constant that is none": (
        (METAL, "MTLGPUFamilyApple7 = 1007", "MTLGPUFamilyApple7 = 1007, MTLGPUFamilyApple77 = 1077"),
        "MTLGPUFamilyApple77: declared as 1077, no authority knows it",
    ),
    "the type of a constant": (
        (METAL, "typedef enum MTLDispatchType : NSUInteger", "typedef enum MTLDispatchType : NSInteger"),
        "-[MTLCommandBuffer computeCommandEncoderWithDispatchType:]: argument 1 is q, not Q, says pyobjc",
    ),
    "an argument of a protocol known as compiled": (
        (METAL, "range:(NSRange)range value:(uint8_t)value", "range:(NSRange)range value:(uint16_t)value"),
        (
            "-[MTLBlitCommandEncoder fillBuffer:range:value:]: declared as v44@0:8@16{_NSRange=QQ}24S40,"
            " Apple's SDK has v44@0:8@16{_NSRange=QQ}24C40"
        ),
    ),
    "an argument of a protocol known by metadata": (
        (
            METAL,
            "newBufferWithLength:(NSUInteger)length options",
            "newBufferWithLength:(unsigned)length options",
        ),
        "-[MTLDevice newBufferWithLength:options:]: argument 1 is I, not Q, says pyobjc",
    ),
    "a result": (
        (METAL, "- (BOOL)supportsFamily", "- (int)supportsFamily"),
        "-[MTLDevice supportsFamily:]: the result is i, not B, says pyobjc",
    ),
    "the protocol of a method": (
        (METAL, "- (void)endEncoding;", "- (void)endEncoding;\n- (void)stopEncoding;"),
        "-[MTLCommandEncoder stopEncoding]: MTLCommandEncoder of Apple's SDK has no such method",
    ),
    "the class of a method": (
        (FOUNDATION, "+ (instancetype)dictionary;", "+ (instancetype)dictionaries;"),
        "+[NSDictionary dictionaries]: no authority knows it",
    ),
    "the class of a number": (
        (FOUNDATION, "@property (readonly) int intValue;", "@property (readonly) long intValue;"),
        "-[NSNumber intValue]: declared as q16@0:8, Apple's SDK has i16@0:8",
    ),
    "an argument of an event": (
        (
            METAL,
            "encodeSignalEvent:(id<MTLEvent>)event value:(uint64_t)",
            "encodeSignalEvent:(id<MTLEvent>)event value:(int)",
        ),
        "-[MTLCommandBuffer encodeSignalEvent:value:]: argument 2 is i, not Q, says pyobjc",
    ),
    "a variable that is none": (
        (FOUNDATION, "extern NSString *const NSFileType;", "extern NSString *const NSFileKind;"),
        "NSFileKind: declared as @, Apple's SDK has no such name",
    ),
    "the type of a variable": (
        (FOUNDATION, "extern NSString *const NSFileType;", "extern long NSFileType;"),
        "NSFileType: declared as q, Apple's SDK has @",
    ),
    "a struct": (
        (METAL, "NSUInteger width, height, depth;", "NSUInteger width; unsigned height, depth;"),
        (
            "struct MTLSize: declared as (('width', 0, 8), ('height', 8, 4), ('depth', 12, 4)), Apple's SDK has"
            " (('width', 0, 8), ('height', 8, 8), ('depth', 16, 8))"
        ),
    ),
    "a function": (
        (METAL, "MTLCreateSystemDefaultDevice(void)", "MTLCreateSystemDefaultDevice(int index)"),
        "MTLCreateSystemDefaultDevice(): declared as ['@', 'i'], Apple's SDK has ['@']",
    ),
    "a function that is none": (
        (METAL, "id<MTLDevice> MTLCreateSystem", "void MTLStart(void);\nid<MTLDevice> MTLCreateSystem"),
        "MTLStart(): no authority knows _MTLStart",
    ),
    "what a protocol refines": (
        (
            METAL,
            "@protocol MTLComputePipelineState <NSObject>",
            "@protocol MTLComputePipelineState <MTLFunction>",
        ),
        (
            "protocol MTLComputePipelineState: declared to refine MTLFunction, Apple's refines"
            " ['MTLAllocation', 'NSObject']"
        ),
    ),
}


@pytest.mark.parametrize("fault", PLANTED)
def test_a_planted_fault_is_named(  # noqa: PLR0913, PLR0917 - each is a fixture
    fault: str,
    tmp_path: Path,
    sdk: Path,
    zig: Path,
    pyobjc: Pyobjc,
    selectors: set[str],
    bindings: dict[str, str],
) -> None:
    (file, before, after), expected = PLANTED[fault]
    copy = tmp_path / "MacOSX.sdk"
    shutil.copytree(sdk, copy)
    text = (copy / file).read_text()
    assert text.count(before) == 1
    (copy / file).write_text(text.replace(before, after))
    ours = parse_headers(copy, zig)
    found = [
        *comparison.compare_methods(ours, pyobjc, selectors).differences,
        *comparison.compare_constants(ours, pyobjc, CBLAS),
        *comparison.compare_variables(ours, pyobjc),
        *comparison.compare_structs(ours, pyobjc, {"_NSRange": "NSRange"}),
        *comparison.compare_functions(ours, pyobjc, bindings),
        *comparison.compare_inheritance(ours, pyobjc),
    ]
    assert expected in found


def test_a_symbol_in_the_wrong_stub_is_named(tmp_path: Path, sdk: Path, bindings: dict[str, str]) -> None:
    file = sdk / "System/Library/Frameworks/CoreFoundation.framework/CoreFoundation.tbd"
    copy = tmp_path / file.name
    copy.write_text(file.read_text().replace("objc-classes: [", "objc-classes: [ MTLCompileOptions,"))
    found = comparison.compare_stubs(read_stubs([copy]), bindings)
    (line,) = (line for line in found if line.startswith("_OBJC_CLASS_$_MTLCompileOptions: "))
    assert "/CoreFoundation.framework/Versions/A/CoreFoundation, " in line
    assert line.endswith("/Metal.framework/Versions/A/Metal")
