//! Results whose gradients are written by hand, because candle's own are slow for them (a `narrow` in a loop costs the
//! whole tensor each time) or wrong (its max-pooling scales by the window's size).

use std::sync::{Mutex, PoisonError};

use candle_core::backend::BackendStorage as _;
use candle_core::{
    CpuStorage, CudaStorage, CustomOp1, CustomOp2, CustomOp3, Layout, Result, Shape, Storage, Tensor, bail,
};

/// How the gradient of a result becomes the gradients of what it was computed from.
pub(super) trait Rule: Send + Sync + 'static {
    /// Shown in candle's errors.
    const NAME: &'static str;

    /// The gradients of `arguments` (detached), in order; `None` for one that needs none.
    fn gradients(
        &self,
        arguments: &[Tensor],
        result: &Tensor,
        gradient: &Tensor,
    ) -> Result<Vec<Option<Tensor>>>;
}

/// `result`, computed already from detached `arguments` (one to three), as a node that gradients flow through by
/// `rule`. Where nothing is trained it is `result` itself.
pub(super) fn differentiable(result: Tensor, arguments: &[&Tensor], rule: impl Rule) -> Result<Tensor> {
    if arguments.iter().all(|argument| !argument.track_op()) {
        return Ok(result);
    }
    let known = Known { result: Mutex::new(Some(result)), rule };
    match arguments {
        [a] => a.apply_op1(known),
        [a, b] => a.apply_op2(b, known),
        [a, b, c] => a.apply_op3(b, c, known),
        _ => bail!("a differentiable result has one to three arguments"),
    }
}

/// x·wᵀ + b of N × K, O × K and O: one product, whatever the bias; gradients by three.
pub(super) fn linear(x: &Tensor, weight: &Tensor, bias: &Tensor) -> Result<Tensor> {
    let result = x.detach().matmul(&weight.detach().t()?)?.broadcast_add(&bias.detach())?;
    differentiable(result, &[x, weight, bias], Linear { needs_input: x.track_op() })
}

/// The sums of the columns of N × C, as a product: candle's own sum over rows is slow.
pub(super) fn column_sums(x: &Tensor) -> Result<Tensor> {
    let ones = Tensor::ones((1, x.dim(0)?), x.dtype(), x.device())?;
    ones.matmul(x)?.squeeze(0)
}

struct Linear {
    needs_input: bool,
}

impl Rule for Linear {
    const NAME: &'static str = "linear";

    fn gradients(&self, arguments: &[Tensor], _: &Tensor, gradient: &Tensor) -> Result<Vec<Option<Tensor>>> {
        let [x, weight, _] = arguments else { bail!("linear has three arguments") };
        let gradient = gradient.contiguous()?;
        let of_x = if self.needs_input { Some(gradient.matmul(weight)?) } else { None };
        let of_weight = gradient.t()?.matmul(x)?;
        Ok(vec![of_x, Some(of_weight), Some(column_sums(&gradient)?)])
    }
}

/// A result that candle asks for once, in the forward pass.
struct Known<R> {
    result: Mutex<Option<Tensor>>,
    rule: R,
}

impl<R: Rule> Known<R> {
    fn take(&self) -> Result<Tensor> {
        match self.result.lock().unwrap_or_else(PoisonError::into_inner).take() {
            Some(result) => result.contiguous(),
            None => bail!("{} was run twice", R::NAME),
        }
    }

    fn cpu(&self) -> Result<(CpuStorage, Shape)> {
        let result = self.take()?;
        let (storage, layout) = result.storage_and_layout();
        match (&*storage, layout.contiguous_offsets()) {
            (Storage::Cpu(storage), Some((start, end))) => {
                let values = storage.as_slice::<f32>()?.get(start..end).unwrap_or_default().to_vec();
                Ok((CpuStorage::F32(values), result.shape().clone()))
            }
            _ => bail!("{} was computed on another device", R::NAME),
        }
    }

    fn cuda(&self) -> Result<(CudaStorage, Shape)> {
        let result = self.take()?.force_contiguous()?;
        let (storage, layout) = result.storage_and_layout();
        match &*storage {
            Storage::Cuda(storage) => Ok((storage.try_clone(layout)?, result.shape().clone())),
            _ => bail!("{} was computed on another device", R::NAME),
        }
    }

    fn backward(
        &self,
        arguments: &[&Tensor],
        result: &Tensor,
        gradient: &Tensor,
    ) -> Result<Vec<Option<Tensor>>> {
        let arguments: Vec<Tensor> = arguments.iter().map(|argument| argument.detach()).collect();
        self.rule.gradients(&arguments, &result.detach(), &gradient.detach())
    }
}

impl<R: Rule> CustomOp1 for Known<R> {
    fn name(&self) -> &'static str {
        R::NAME
    }

    fn cpu_fwd(&self, _: &CpuStorage, _: &Layout) -> Result<(CpuStorage, Shape)> {
        self.cpu()
    }

    fn cuda_fwd(&self, _: &CudaStorage, _: &Layout) -> Result<(CudaStorage, Shape)> {
        self.cuda()
    }

    fn bwd(&self, a: &Tensor, result: &Tensor, gradient: &Tensor) -> Result<Option<Tensor>> {
        let mut gradients = self.backward(&[a], result, gradient)?.into_iter();
        Ok(gradients.next().flatten())
    }
}

impl<R: Rule> CustomOp2 for Known<R> {
    fn name(&self) -> &'static str {
        R::NAME
    }

    fn cpu_fwd(&self, _: &CpuStorage, _: &Layout, _: &CpuStorage, _: &Layout) -> Result<(CpuStorage, Shape)> {
        self.cpu()
    }

    fn cuda_fwd(
        &self,
        _: &CudaStorage,
        _: &Layout,
        _: &CudaStorage,
        _: &Layout,
    ) -> Result<(CudaStorage, Shape)> {
        self.cuda()
    }

    fn bwd(&self, a: &Tensor, b: &Tensor, result: &Tensor, gradient: &Tensor) -> Result<Pair> {
        let mut gradients = self.backward(&[a, b], result, gradient)?.into_iter();
        Ok((gradients.next().flatten(), gradients.next().flatten()))
    }
}

type Pair = (Option<Tensor>, Option<Tensor>);
type Triple = (Option<Tensor>, Option<Tensor>, Option<Tensor>);

impl<R: Rule> CustomOp3 for Known<R> {
    fn name(&self) -> &'static str {
        R::NAME
    }

    fn cpu_fwd(
        &self,
        _: &CpuStorage,
        _: &Layout,
        _: &CpuStorage,
        _: &Layout,
        _: &CpuStorage,
        _: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        self.cpu()
    }

    fn cuda_fwd(
        &self,
        _: &CudaStorage,
        _: &Layout,
        _: &CudaStorage,
        _: &Layout,
        _: &CudaStorage,
        _: &Layout,
    ) -> Result<(CudaStorage, Shape)> {
        self.cuda()
    }

    fn bwd(&self, a: &Tensor, b: &Tensor, c: &Tensor, result: &Tensor, gradient: &Tensor) -> Result<Triple> {
        let mut gradients = self.backward(&[a, b, c], result, gradient)?.into_iter();
        Ok((gradients.next().flatten(), gradients.next().flatten(), gradients.next().flatten()))
    }
}

#[cfg(test)]
mod tests {
    use candle_core::{Device, Var};

    use super::*;

    #[test]
    fn linear_has_the_gradients_of_candles_own_ops() {
        let var = |shape: (usize, usize)| Var::randn(0_f32, 1.0, shape, &Device::Cpu).unwrap();
        let (x, w) = (var((5, 3)), var((2, 3)));
        let b = Var::randn(0_f32, 1.0, 2, &Device::Cpu).unwrap();
        let ours = linear(&x, &w, &b).unwrap();
        let plain = x.matmul(&w.t().unwrap()).unwrap().broadcast_add(&b).unwrap();
        let loss = |y: &Tensor| y.sqr().unwrap().sum_all().unwrap().backward().unwrap();
        let (ours, plain) = (loss(&ours), loss(&plain));
        for var in [&x, &w, &b] {
            let difference = (ours.get(var).unwrap() - plain.get(var).unwrap()).unwrap().abs().unwrap();
            assert!(difference.max_all().unwrap().to_scalar::<f32>().unwrap() < 1e-4);
        }
    }

    #[test]
    fn nothing_is_recorded_where_nothing_is_trained() {
        let x = Tensor::ones((2, 3), candle_core::DType::F32, &Device::Cpu).unwrap();
        let b = Tensor::zeros(4, candle_core::DType::F32, &Device::Cpu).unwrap();
        let w = Tensor::ones((4, 3), candle_core::DType::F32, &Device::Cpu).unwrap();
        assert!(!linear(&x, &w, &b).unwrap().track_op());
    }
}
