// Every kernel by its number.
import { KernelId } from '../src/backends/simd/kernel_ids';
import { attention } from './attention';
import { attentionGrad } from './attention_grad';
import { causalConv1d } from './conv';
import { causalConv1dGrad } from './conv_grad';
import { copy2d } from './copy';
import { adamWStep, binary, embeddingLookupGrad, sum, transpose, unary } from './elementwise';
import { writeRing } from './kv_ring';
import { crossEntropy, crossEntropyGrad, maxOfRows, softmax } from './loss';
import { matMulBf16 } from './matmul_bf16';
import { matMulF32 } from './matmul_f32';
import { matMulInt4 } from './matmul_int4';
import { matMulInt8 } from './matmul_int8';
import { gatedActivation, rmsNorm } from './norm';
import { gatedActivationGrad, rmsNormGrad } from './norm_grad';
import { packFloat, packInt, repackInt, unpackRows } from './pack';
import { packPanels } from './panels_f32';
import { quantizeActivations, readProbe } from './quantize';
import { ssdScan } from './scan';
import { ssdScanGrad } from './scan_grad';

/** Runs units [begin, end) of a job on this thread. */
export function dispatch(id: i32, args: usize, begin: i32, end: i32, scratch: usize): void {
  switch (id) {
    case KernelId.ReadProbe:
      readProbe(args, begin, end);
      break;
    case KernelId.QuantizeActivations:
      quantizeActivations(args, begin, end);
      break;
    case KernelId.MatMulInt8:
      matMulInt8(args, begin, end, scratch);
      break;
    case KernelId.MatMulInt4:
      matMulInt4(args, begin, end, scratch);
      break;
    case KernelId.MatMulBf16:
      matMulBf16(args, begin, end, scratch);
      break;
    case KernelId.MatMulF32:
      matMulF32(args, begin, end, scratch);
      break;
    case KernelId.PackPanels:
      packPanels(args, begin, end);
      break;
    case KernelId.PackInt:
      packInt(args, begin, end, scratch);
      break;
    case KernelId.PackFloat:
      packFloat(args, begin, end);
      break;
    case KernelId.RepackInt:
      repackInt(args, begin, end);
      break;
    case KernelId.UnpackRows:
      unpackRows(args, begin, end);
      break;
    case KernelId.RmsNorm:
      rmsNorm(args, begin, end);
      break;
    case KernelId.GatedActivation:
      gatedActivation(args, begin, end);
      break;
    case KernelId.CausalConv1d:
      causalConv1d(args, begin, end, scratch);
      break;
    case KernelId.SsdScan:
      ssdScan(args, begin, end, scratch);
      break;
    case KernelId.Attention:
      attention(args, begin, end, scratch);
      break;
    case KernelId.WriteRing:
      writeRing(args, begin, end);
      break;
    case KernelId.CrossEntropy:
      crossEntropy(args, begin, end);
      break;
    case KernelId.CrossEntropyGrad:
      crossEntropyGrad(args, begin, end);
      break;
    case KernelId.Softmax:
      softmax(args, begin, end);
      break;
    case KernelId.Copy2d:
      copy2d(args, begin, end);
      break;
    case KernelId.Binary:
      binary(args, begin, end);
      break;
    case KernelId.Unary:
      unary(args, begin, end);
      break;
    case KernelId.Sum:
      sum(args, begin, end);
      break;
    case KernelId.Max:
      maxOfRows(args, begin, end);
      break;
    case KernelId.Transpose:
      transpose(args, begin, end);
      break;
    case KernelId.EmbeddingLookupGrad:
      embeddingLookupGrad(args, begin, end);
      break;
    case KernelId.AdamWStep:
      adamWStep(args, begin, end);
      break;
    case KernelId.RmsNormGrad:
      rmsNormGrad(args, begin, end, scratch);
      break;
    case KernelId.GatedActivationGrad:
      gatedActivationGrad(args, begin, end);
      break;
    case KernelId.CausalConv1dGrad:
      causalConv1dGrad(args, begin, end, scratch);
      break;
    case KernelId.SsdScanGrad:
      ssdScanGrad(args, begin, end, scratch);
      break;
    case KernelId.AttentionGrad:
      attentionGrad(args, begin, end, scratch);
      break;
    default:
      unreachable();
  }
}
