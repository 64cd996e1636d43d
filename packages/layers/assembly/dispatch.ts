// Calls kernels by their id.
import { adamWStep } from './adamw/adamw_step';
import { attention } from './attention/attention';
import { attentionGrad } from './attention/attention_grad';
import { writeKvCache } from './attention/kv_cache';
import { rotary } from './attention/rotary';
import { causalConv1d } from './causal_conv1d/causal_conv1d';
import { causalConv1dGrad } from './causal_conv1d/causal_conv1d_grad';
import { copy2d } from './core/copy';
import { binary, unary } from './core/elementwise';
import { readProbe } from './core/read_probe';
import { maxOfRows, softmax } from './core/softmax';
import { sum } from './core/sum';
import { transpose } from './core/transpose';
import { crossEntropy, crossEntropyGrad } from './cross_entropy/cross_entropy';
import { embeddingLookupGrad } from './embedding_lookup/embedding_lookup_grad';
import { gatedActivation } from './gated_activation/gated_activation';
import { gatedActivationGrad } from './gated_activation/gated_activation_grad';
import { KernelId } from './kernel_ids';
import { matMulBf16 } from './matmul/bf16';
import { matMulF32 } from './matmul/f32';
import { packPanels } from './matmul/f32_panels';
import { matMulInt4 } from './matmul/int4';
import { matMulInt8 } from './matmul/int8';
import { quantizeActivations } from './matmul/quantize';
import { rmsNorm } from './norm/norm';
import { rmsNormGrad } from './norm/norm_grad';
import { packFloat, packInt, repackInt, unpackRows } from './packing/pack';
import { ssdScanGrad } from './ssd_scan/grad';
import { ssdScan } from './ssd_scan/ssd_scan';

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
    case KernelId.WriteKvCache:
      writeKvCache(args, begin, end);
      break;
    case KernelId.Rotary:
      rotary(args, begin, end, scratch);
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
